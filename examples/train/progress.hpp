// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

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

 private:
  void draw() const;

  std::filesystem::path folder_;
  std::map<std::string, std::vector<double>> curves_;
};

/// "1:05:09"
[[nodiscard]] std::string clock_text(double seconds);

}  // namespace sjd::train
