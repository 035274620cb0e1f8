// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/core/matrix_view.hpp"
#include "sjd/core/moments.hpp"
#include "sjd/cuda/detail/block_sum.hpp"
#include "sjd/cuda/detail/phases.hpp"

namespace sjd::cuda {

/// What the statistics kernels work on.
///
/// shapes  table [vocab, dim]; normalized [vocab, dim]; mean, scale [dim]; rows [vocab], scratch of
///         per-token statistics, else null
struct StatisticsArguments {
  MatrixView<const float, DeviceMemory> table;
  bool per_channel = true;
  float* normalized = nullptr;
  float* mean = nullptr;
  float* scale = nullptr;
  Moments* rows = nullptr;
};

namespace detail {

/// One thread a channel or a row: neighbouring threads read neighbouring channels.
struct MomentsKernel {
  struct Shared {};
  using Arguments = StatisticsArguments;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t first = block.cluster();
    block.phase([&a, first](const Here& t) {
      const std::int64_t line = first * t.count + t.index;
      const auto& table = a.table;
      const std::int64_t lines = a.per_channel ? table.columns : table.rows;
      if (line >= lines) return;
      const Moments m =
          moments(table.data + line * (a.per_channel ? 1 : table.stride),
                  table.rows + table.columns - lines, a.per_channel ? table.stride : 1);
      if (a.per_channel) {
        a.mean[line] = static_cast<float>(m.mean);
        a.scale[line] = static_cast<float>(m.scale());
      } else {
        a.rows[line] = m;
      }
    });
  }
};

/// A block a row. The block of row 0 also averages the statistics of all rows, in their order.
struct NormalizeKernel {
  struct Shared {
    float mean;
    float scale;
  };
  using Arguments = StatisticsArguments;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t row = block.cluster();
    block.phase([&a, row](const Here& t) { normalize(a, row, t); });
    if (a.per_channel || row > 0) return;
    block.phase([&a](const Here& t) { average(a, t); });
    block.phase([&a](const Here& t) {
      for (std::int64_t d = t.index; d < a.table.columns; d += t.count) {
        a.mean[d] = t.shared->mean;
        a.scale[d] = t.shared->scale;
      }
    });
  }

 private:
  SJD_DEVICE static void normalize(const Arguments& a, std::int64_t row, const Here& t) {
    const float* from = a.table.data + row * a.table.stride;
    float* to = a.normalized + row * a.table.columns;
    for (std::int64_t d = t.index; d < a.table.columns; d += t.count) {
      if (a.per_channel) {
        to[d] = (from[d] - a.mean[d]) / a.scale[d];
      } else {
        to[d] = static_cast<float>((from[d] - a.rows[row].mean) / a.rows[row].scale());
      }
    }
  }

  SJD_DEVICE static void average(const Arguments& a, const Here& t) {
    if (t.index > 0) return;
    const auto number = static_cast<double>(a.table.rows);
    double mean = 0.0;
    double scale = 0.0;
    for (std::int64_t v = 0; v < a.table.rows; ++v) {
      mean += a.rows[v].mean / number;
      scale += a.rows[v].scale() / number;
    }
    t.shared->mean = static_cast<float>(mean);
    t.shared->scale = static_cast<float>(scale);
  }
};

}  // namespace detail

}  // namespace sjd::cuda
