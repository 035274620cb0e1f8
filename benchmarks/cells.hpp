// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench_options.hpp"
#include "compositions.hpp"

namespace sjd::bench {

/// One row of a table: a composition with its numbers.
struct Cell {
  const paint::Composition* composition = nullptr;
  paint::Plan plan;
  double guidance = 1.0;
  double temperature = 1.0;
  std::int64_t batch = 1;  ///< pictures a pass
};

/// The rows of the table of one guidance scale and batch. The first one is plain AR; every other
/// baseline that a row is compared with stands before it. Rows by cost are there if costs are.
///
/// errors  UsageError for levels that the model does not know, and for --window auto without costs;
///         bad_file and io of the cost file
[[nodiscard]] std::vector<Cell> plan_cells(const BenchOptions& options, const paint::Studio& studio,
                                           double guidance, std::int64_t batch);

/// One line if the windows that nobody chose have no row by cost for want of costs, else empty.
///
/// errors  bad_file and io of the cost file
[[nodiscard]] std::string missing_costs_text(const BenchOptions& options,
                                             const paint::Studio& studio);

}  // namespace sjd::bench
