// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "sjd/hosts/llama.hpp"
#include "support/random_checkpoint.hpp"

namespace sjd::test {

using hosts::LlamaConfig;
using hosts::LlamaHost;
using hosts::LlamaOptions;

/// Logits that own their memory.
struct Logits {
  std::int64_t columns;
  std::vector<float> values;  // [rows, columns]

  Logits(std::int64_t rows, std::int64_t vocab)
      : columns{vocab}, values(static_cast<std::size_t>(rows * vocab)) {}
  [[nodiscard]] MatrixView<float> view() {
    return {values.data(), static_cast<std::int64_t>(values.size()) / columns, columns};
  }
  [[nodiscard]] std::vector<float> row(std::int64_t index) const {
    const auto begin = values.begin() + index * columns;
    return {begin, begin + columns};
  }
};

/// A picture to be fed: prompt, tokens and, if noisy, a vector instead of every third token.
struct Script {
  LlamaHost::Prompt prompt;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> levels;  // [tokens]
  std::vector<float> embeddings;     // [tokens, hidden]

  Script(const LlamaConfig& config, std::uint32_t seed, bool noisy) {
    std::mt19937 engine{seed};
    const auto below = [&](std::int64_t limit) {
      return static_cast<std::int32_t>(engine() % static_cast<std::uint32_t>(limit));
    };
    const std::int32_t words = 1 + below(config.max_prompt_tokens);
    for (std::int32_t i = 0; i < words; ++i) {
      prompt.push_back(2 + below(config.text_vocab_size - 2));
    }
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i + 1 < config.image_tokens(); ++i) {
      tokens.push_back(below(config.image_vocab_size));
      levels.push_back(noisy && i % 3 == 2 ? 1 + below(config.noise.grid + 1) : 0);
      for (std::int64_t j = 0; j < config.hidden_size; ++j) embeddings.push_back(normal(engine));
    }
  }

  [[nodiscard]] InputRow row(std::int32_t sequence, std::int32_t branch, std::int64_t i) const {
    const auto at = static_cast<std::size_t>(i);
    return {sequence,   branch,
            i,          levels[at] == 0 ? tokens[at] : 0,
            levels[at], levels[at] == 0 ? -1 : i};
  }
  [[nodiscard]] MatrixView<const float> vectors(const LlamaConfig& config) const {
    return {embeddings.data(), static_cast<std::int64_t>(tokens.size()), config.hidden_size};
  }
};

/// Logits of the prefill and of every row of both branches, fed one row at a time.
struct OneByOne {
  std::vector<std::vector<float>> branch[2];  // [1 + rows][vocab]

  OneByOne(LlamaHost& host, const Script& script, std::int64_t rows) {
    Logits first{2, host.vocab_size()};
    host.prefill(0, script.prompt, first.view());
    for (std::int32_t b = 0; b < 2; ++b) {
      branch[b].push_back(first.row(b));
      for (std::int64_t i = 0; i < rows; ++i) {
        Logits out{1, host.vocab_size()};
        const KeepLength keep{0, b, i};
        const InputRow row = script.row(0, b, i);
        host.forward({{&keep, 1}, {&row, 1}, script.vectors(host.config()), out.view()});
        branch[b].push_back(out.row(0));
      }
    }
  }
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// A model directory with random weights.
struct LlamaDirectory {
  TemporaryDirectory directory;
  LlamaConfig config;

  explicit LlamaDirectory(const LlamaConfig& shape) : config{shape} {
    write_random_model(directory.path(), shape, 5);
  }
  [[nodiscard]] LlamaHost load(LlamaOptions options = {},
                               const char* file = "sjd2.safetensors") const {
    return LlamaHost::load(directory.path(), file, options);
  }
};

}  // namespace sjd::test
