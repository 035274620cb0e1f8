// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <sjd/policies/cost_aware_window.hpp>
#include <string>
#include <vector>

namespace sjd::paint {

/// What passes of one size cost: `batch` sequences of `branches` guidance branches each.
struct CostTable {
  std::int64_t batch = 1;
  std::int64_t branches = 1;
  std::vector<CostPoint> costs;  ///< seconds of a whole pass, model and library
  /// [slot - 1] share of passes that accept slots 1 .. slot, of those that may judge them all.
  std::vector<double> survival;
};

/// costs.json of a model directory, written by `bench --write-costs FILE`.
struct CostFile {
  std::string machine;
  std::string date;
  std::int64_t threads = 1;
  std::string composition;  ///< the decoder that was measured
  std::vector<CostTable> tables;
};

/// errors  bad_file naming the field, also for a field that this version does not know; io
[[nodiscard]] CostFile read_costs(const std::filesystem::path& path);

/// The text of a cost file: one line a table.
[[nodiscard]] std::string costs_text(const CostFile& file);

/// The window plan for `batch` sequences of `branches` branches and `levels` noise levels (0
/// without noise).
///
/// edge  a size that was not measured is decoded by the next larger one, the largest of all if
///       there is none: a smaller one would promise too much
[[nodiscard]] CostAwareWindow plan_window(const CostFile& file, std::int64_t batch,
                                          std::int64_t branches, std::int32_t levels);

}  // namespace sjd::paint
