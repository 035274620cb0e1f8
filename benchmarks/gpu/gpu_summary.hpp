// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "gpu_lines.hpp"
#include "statistics.hpp"

namespace sjd::bench {

/// Fills median and quartiles.
[[nodiscard]] inline GpuLine summed_up(GpuLine line, const std::vector<double>& values) {
  line.median = quantile(values, 0.5);
  line.low = quantile(values, 0.25);
  line.high = quantile(values, 0.75);
  return line;
}

}  // namespace sjd::bench
