// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gpu_lines.hpp"

namespace sjd::bench {

/// A pass of one window in every round: with the step behind it, and that step by itself.
struct PassTimes {
  std::int64_t window = 1;
  std::vector<double> whole{};  ///< us [rounds]
  std::vector<double> step{};   ///< us [rounds]
};

/// A model of random weights.
struct HostShape {
  std::string name{};                    ///< "7B": first word of its lines
  std::int64_t context = 0;              ///< tokens behind a pass
  double least = 0.0;                    ///< us, weights and cache over the copy speed
  double step_target = 0.0;              ///< % of a pass
  std::optional<double> ratio_target{};  ///< of the window of 80 over AR
};

/// Lines of G6: a pass, its ratio to AR round by round, and the share of the library's step in it.
///
/// errors  invalid_argument unless the first window is AR's and all have the rounds of the first
[[nodiscard]] std::vector<GpuLine> pass_lines(const HostShape& shape,
                                              std::span<const PassTimes> passes);

/// Whole pictures of one composition in every round.
struct PictureTimes {
  std::string name{};                  ///< "AR", "W 32"
  std::vector<double> milliseconds{};  ///< of a picture [rounds]
  double tokens_per_pass = 0.0;
};

/// Lines of G6: milliseconds and tokens a pass, and how many times as fast as the first, which is
/// AR, round by round. `group` comes first in the lines: "guided pictures".
///
/// errors  as pass_lines
[[nodiscard]] std::vector<GpuLine> picture_lines(const std::string& group,
                                                 std::span<const PictureTimes> pictures);

}  // namespace sjd::bench
