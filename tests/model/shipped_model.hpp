// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "sjd/hosts/llama.hpp"
#include "sjd/hosts/word_tokenizer.hpp"
#include "sjd/policies/noise_schedule.hpp"

/// The model in examples/paint/model, for tests; SJD_MODEL_DIR is set by CMake.
namespace tests {

inline std::filesystem::path model_directory() {
  return SJD_MODEL_DIR;
}

/// The fine-tuned weights with their corrector head.
inline sjd::hosts::LlamaHost load_with_head(std::int64_t sequences, int threads = 2) {
  return sjd::hosts::LlamaHost::load(
      model_directory(), "sjd2.safetensors",
      {.max_sequences = sequences, .threads = threads, .corrector = "corrector.safetensors"});
}

/// The schedule that the shipped checkpoint was trained with, at `levels` levels.
inline sjd::KarrasSchedule shipped_schedule(std::int32_t levels,
                                            sjd::LevelDescent descent = sjd::LevelDescent::by_age) {
  const auto config = sjd::hosts::read_llama_config(model_directory() / "config.json");
  return {.levels = levels,
          .grid = config.noise.grid,
          .rho_min = config.noise.rho_min,
          .rho_max = config.noise.rho_max,
          .descent = descent};
}

/// The first `count` different held-out prompts (new combinations of seen words), as word ids.
inline std::vector<std::vector<std::int32_t>> held_out_prompts(std::int64_t count) {
  std::ifstream file{model_directory() / "prompts.json"};
  const nlohmann::json prompts = nlohmann::json::parse(file);
  const auto tokenizer = sjd::hosts::WordTokenizer::read(model_directory() / "tokenizer.json");
  std::vector<std::vector<std::int32_t>> ids;
  std::set<std::string> seen;
  for (const auto& entry : prompts.at("new_combinations")) {
    const auto text = entry.at("prompt").get<std::string>();
    if (!seen.insert(text).second) continue;
    ids.push_back(tokenizer.encode(text, 12).ids);
    if (static_cast<std::int64_t>(ids.size()) == count) return ids;
  }
  throw std::runtime_error{"prompts.json: too few different held-out prompts"};
}

}  // namespace tests
