// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "studio.hpp"

namespace sjd::bench {

/// The command line of bench.
struct BenchOptions {
  bool full = false;
  bool help = false;
  bool score = true;  ///< nats per token of every sample
  std::int64_t prompts = 64;
  std::string split = "new_combinations";
  std::uint64_t seed = 0;
  std::vector<double> guidance{3.0, 1.0};
  double temperature = 1.0;
  std::vector<std::int64_t> batches{1};  ///< pictures a pass, each a table of its own
  /// Rows a pass, 0 = by cost; the first one is used where only one is tried.
  std::vector<std::int64_t> windows;
  std::vector<std::int64_t> levels;   ///< likewise
  std::int64_t depth = 16;            ///< drafts that a corrector may redraw
  std::vector<std::string> only;      ///< names of compositions; empty = the plan of the mode
  std::filesystem::path costs;        ///< of windows by cost; empty: the model directory's
  std::filesystem::path write_costs;  ///< measure costs, write them here, and nothing else
  std::filesystem::path json;
  std::filesystem::path gallery;
  paint::StudioOptions studio;
};

/// errors  paint::UsageError with one line that says the allowed range
[[nodiscard]] BenchOptions parse_bench_options(std::span<const std::string> arguments);

[[nodiscard]] std::string bench_help();

}  // namespace sjd::bench
