// SPDX-License-Identifier: Apache-2.0
#include "corrector_settings.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "data_options.hpp"

namespace sjd::train {
namespace {

/// Every option with its default.
StageOptions parse(std::span<char* const> args) {
  return {args,
          {{"model", ""},
           {"weights", "sjd2.safetensors"},
           {"output", "corrector.safetensors"},
           {"init", "none"},
           {"loop", "none"},
           {"traces", "none"},
           {"rounds", "4"},
           {"minutes", "12"},
           {"trace-share", "0.5"},
           {"invented", "0.5"},
           {"window", "48"},
           {"width", "256"},
           {"batch", "256"},
           {"rate", "2e-3"},
           {"final-rate", "1e-4"},
           {"seed", "1"},
           {"steps", "0"},
           {"dropout", "0.1"},
           {"decay", "0.02"},
           {"lookup", "1"},
           {"targets", "law"},
           {"neighbours", "near"},
           {"workers", "1"}}};
}

}  // namespace

CorrectorSettings read_corrector_settings(std::span<char* const> args) {
  const StageOptions options = parse(args);
  CorrectorSettings s;
  s.model = options.text("model");
  s.weights = options.text("weights");
  s.output = s.model / options.text("output");
  s.init = options.text("init");
  s.loop = options.text("loop") == "none" ? s.init : std::filesystem::path{options.text("loop")};
  s.traces = options.text("traces");
  s.rounds = std::max<std::int64_t>(options.count("rounds"), 1);
  s.seconds = 60.0 * std::stod(options.text("minutes"));
  s.trace_share = std::stod(options.text("trace-share"));
  s.invented = std::stod(options.text("invented"));
  s.window = options.count("window");
  s.width = options.count("width");
  s.batch = options.count("batch");
  s.rate = std::stof(options.text("rate"));
  s.final_rate = std::stof(options.text("final-rate"));
  s.seed = static_cast<std::uint64_t>(options.count("seed"));
  s.workers = std::max<std::int64_t>(options.count("workers"), 1);
  s.steps = options.count("steps");
  s.regularization = {std::stof(options.text("dropout")), std::stof(options.text("decay")),
                      options.count("lookup") != 0, options.text("targets") == "sample"};
  s.neighbours = options.text("neighbours");
  return s;
}

std::vector<std::int32_t> head_neighbours(const std::string& list,
                                          const hosts::LlamaConfig& config) {
  const auto columns = static_cast<std::int32_t>(config.image_columns);
  if (list == "near") return {1, 2, columns - 2, columns - 1, columns, columns + 1};
  std::vector<std::int32_t> offsets;
  std::istringstream words{list};
  for (std::string word; std::getline(words, word, ',');) {
    offsets.push_back(std::stoi(word));
    if (offsets.back() <= (offsets.size() > 1 ? offsets[offsets.size() - 2] : 0)) {
      throw std::invalid_argument("option --neighbours: offsets must be positive and ascending");
    }
  }
  return offsets;
}

}  // namespace sjd::train
