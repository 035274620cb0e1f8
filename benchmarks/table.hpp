// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bench_options.hpp"
#include "machine.hpp"
#include "measure.hpp"
#include "statistics.hpp"

namespace sjd::bench {

/// All rows of one guidance scale and batch.
struct Group {
  double guidance = 1.0;
  std::int64_t batch = 1;
  double data_nats = 0.0;  ///< of the true pictures under the same law; NaN if there are none
  std::vector<Series> series;
};

/// What one row says.
struct Row {
  double mean_window = 0.0;  ///< rows a branch of a pass
  double tokens_per_pass = 0.0;
  Interval interval;
  double bound = 0.0;
  double over_sjd = 0.0;  ///< NaN if the group has no SJD row
  double nats = 0.0;
  double seconds = 0.0;  ///< median
  Interval quartiles;    ///< of seconds
  double over_ar = 0.0;  ///< median of AR's seconds over these, prompt by prompt
  double host_ms = 0.0;  ///< a pass
  double corrector_ms = 0.0;
  double library_ms = 0.0;  ///< without the corrector
};

[[nodiscard]] Row summarize(const Group& group, const Series& series, std::int64_t tokens);

/// The lines above all tables.
[[nodiscard]] std::string header_text(const Machine& machine, const BenchOptions& options,
                                      const paint::Studio& studio, std::size_t prompts);

[[nodiscard]] std::string table_text(const Group& group, std::int64_t tokens);

/// Everything as one JSON document.
[[nodiscard]] std::string json_text(const Machine& machine, const BenchOptions& options,
                                    const std::vector<PromptEntry>& prompts,
                                    const std::vector<Group>& groups, std::int64_t tokens);

}  // namespace sjd::bench
