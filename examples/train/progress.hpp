// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "chart.hpp"
#include "trainer.hpp"

namespace sjd::train {

/// Nats per token by name: "validation", "new_combinations", ...
using Measures = std::map<std::string, double>;

/// The log of a run: one JSON object a line, appended, so that a resumed run continues its curves.
class Progress {
 public:
  explicit Progress(const std::filesystem::path& folder);

  /// Prints one line, appends it to log.jsonl and redraws curves.png.
  void report(const TrainerState& state, double tokens_per_second, const Measures& measures);

  /// Draws nats per token over the minutes trained so far; nothing before two reports.
  void draw(const std::filesystem::path& path) const;

 private:
  std::filesystem::path folder_;
  std::map<std::string, std::vector<ChartPoint>> curves_;  // minutes trained, nats per token
};

/// `train curves`: draws log.jsonl of a run anew.
int run_curves(std::span<char* const> args);

/// "1:05:09"
[[nodiscard]] std::string clock_text(double seconds);

}  // namespace sjd::train
