// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "gpu_lines.hpp"

namespace sjd::bench {

/// A model whose tokens a forward pass were counted elsewhere. What it would gain on this device is
/// a projection, and is called so.
struct MeasuredTau {
  double tokens_per_pass = 0.0;
  std::string window;  ///< as in the lines of G6 for the 7B shape: "W 16"
  std::string model;   ///< which model, composition and guidance; where the number stands
};

/// Facts, then a row a line: median, quartiles, floor, target and whether it is met; behind a peer
/// how many times as long it takes as ours of the same id and shape. Last, with a tau: the
/// projected speed-up of the 7B shape, tau over (pass of that window) / (pass of AR).
[[nodiscard]] std::string table_text(const GpuResults& results,
                                     const std::optional<MeasuredTau>& tau);

/// Everything as one JSON document; numbers that are missing are null.
[[nodiscard]] std::string json_text(const GpuResults& results,
                                    const std::optional<MeasuredTau>& tau);

/// tau T(AR) / T(window) of the 7B shape, steps included, from the lines "sjd" of G6; none where
/// one is missing.
[[nodiscard]] std::optional<double> projected_speed_up(const GpuResults& results,
                                                       const MeasuredTau& tau);

}  // namespace sjd::bench
