// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sjd/policies/cost_aware_window.hpp"
#include "support/table_host.hpp"

namespace sjd::test {

/// How the cost of a pass depends on its rows: `fixed` for the pass, and `per_tile` for every
/// started tile of `tile` rows.
struct CostShape {
  std::string name;
  double fixed = 0.0;
  double per_tile = 0.0;
  std::int64_t tile = 1;

  [[nodiscard]] double cost(std::int64_t rows) const {
    return fixed + per_tile * static_cast<double>((rows + tile - 1) / tile);
  }
};

/// A card that is far from full, a core that is full with one row, tiles of 16 rows, and a machine
/// between them.
inline std::vector<CostShape> cost_shapes() {
  return {{"flat", 1.0, 0.0, 1},
          {"linear", 0.0, 1.0, 1},
          {"stepped", 0.25, 0.75, 16},
          {"affine", 1.0, 0.1, 1}};
}

/// The table of a shape for `sequences` x `branches`, exact at every width up to 64 but for the
/// straight lines between the 15 points.
inline std::vector<CostPoint> cost_table(const CostShape& shape, std::int64_t parts = 1) {
  std::vector<CostPoint> points;
  for (const std::int64_t rows : {1, 2, 3, 4, 6, 8, 12, 16, 17, 24, 32, 33, 48, 49, 64}) {
    points.push_back({rows, shape.cost(rows * parts)});
  }
  return points;
}

/// Survival that falls by the same share at each of `slots` slots.
inline std::vector<double> even_survival(double share, std::int64_t slots = 63) {
  std::vector<double> survival;
  double s = 1.0;
  for (std::int64_t i = 0; i < slots; ++i) survival.push_back(s *= share);
  return survival;
}

/// The table host with a price: adds up what its passes would have cost on a machine of a shape.
struct LatencyHost : TableHost {
  LatencyHost(TableOptions options, CostShape price)
      : TableHost{options}, shape{std::move(price)} {}

  void forward(const ForwardPass<>& pass) {
    TableHost::forward(pass);
    spent += shape.cost(static_cast<std::int64_t>(pass.rows.size()));
  }

  CostShape shape;
  double spent = 0.0;  ///< by the passes so far; prompts are free
};

/// A plan for tests of a few tokens: wide at first, soon narrow where drafts are rejected, with an
/// allowance that never binds.
inline CostAwareWindow moody_window(std::int64_t most, std::int64_t warm_up = 1) {
  WindowCosts known{.survival = even_survival(0.7), .warm_up = warm_up, .most_loss = 100.0};
  for (std::int64_t rows = 2; rows <= most; ++rows) {
    known.costs.push_back({rows, 1.0 + 0.3 * static_cast<double>(rows - 1)});
  }
  return CostAwareWindow{known};
}

}  // namespace sjd::test
