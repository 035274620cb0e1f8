// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "sjd/core/config.hpp"
#include "sjd/core/error.hpp"
#include "sjd/policy.hpp"

namespace sjd {

/// z = alpha x0 + sigma eps, both of one noise level.
struct NoiseCoefficients {
  float alpha = 1.0F;
  float sigma = 0.0F;

  friend bool operator==(const NoiseCoefficients&, const NoiseCoefficients&) = default;
};

/// How a slot's level falls from iteration to iteration.
enum class LevelDescent : std::uint8_t {
  by_age,       ///< one level an iteration
  by_deadline,  ///< as fast as the distance to the tip demands: one jump when it is next
};

/// No noise at all: drafts are tokens from the moment they enter (Jacobi, SJD).
struct NoNoise {
  using role = role::noise_schedule;
  static constexpr std::int32_t levels = 0;

  friend bool operator==(const NoNoise&, const NoNoise&) = default;
};

/// Karras levels (arXiv 2206.00364, eq. 5) over the range where token identity is really lost, in
/// the variance-preserving family alpha = 1/sqrt(1 + rho^2), sigma = rho alpha, rho = sigma/alpha.
///
/// The checkpoint knows the levels 1..grid+1 (0 is clean, grid+1 the noisiest); decoding uses
/// `levels` of them: the noisiest alone, or `levels` equal strides of the grid. The object that a
/// checkpoint was trained with is the object that decodes it: grid, rho_min and rho_max are
/// compared with the checkpoint's.
///
/// units   rho is a ratio of standard deviations of normalised embeddings
/// errors  validate() throws invalid_argument unless levels == 1 or (levels - 1) divides grid
struct KarrasSchedule {
  using role = role::noise_schedule;

  std::int32_t levels = 1;  ///< K, noise levels used while decoding
  std::int32_t grid = 12;   ///< intervals between the checkpoint's grid + 1 levels
  float rho_min = 2.0F;     ///< noise of checkpoint level 1
  float rho_max = 16.0F;    ///< noise of checkpoint level grid + 1
  LevelDescent descent = LevelDescent::by_age;
  /// by_deadline: a slot i behind the tip has level <= (i-1)/this.
  std::int32_t tokens_per_level = 4;

  static constexpr float power = 7.0F;

  /// rho of a checkpoint level, 0 for level 0.
  [[nodiscard]] float rho(std::int32_t checkpoint_level) const {
    if (checkpoint_level <= 0) return 0.0F;
    const double top = std::pow(static_cast<double>(rho_max), 1.0 / power);
    const double bottom = std::pow(static_cast<double>(rho_min), 1.0 / power);
    const double i = grid + 1 - checkpoint_level;
    return static_cast<float>(std::pow(std::fma(i / grid, bottom - top, top), double{power}));
  }

  /// alpha and sigma of a checkpoint level; (1, 0) for level 0.
  [[nodiscard]] NoiseCoefficients coefficients(std::int32_t checkpoint_level) const {
    const double ratio = rho(checkpoint_level);
    const double alpha = 1.0 / std::sqrt(1.0 + ratio * ratio);
    return {static_cast<float>(alpha), static_cast<float>(ratio * alpha)};
  }

  /// The checkpoint level of decoding level k in 0..levels.
  [[nodiscard]] std::int32_t checkpoint_level(std::int32_t k) const {
    if (k <= 0) return 0;
    return levels == 1 ? grid + 1 : 1 + (k - 1) * (grid / (levels - 1));
  }

  /// The decoding level after one refinement of a slot `distance` >= 1 positions behind the new
  /// tip.
  [[nodiscard]] SJD_HOST_DEVICE std::int32_t next_level(std::int32_t level,
                                                        std::int64_t distance) const {
    if (descent == LevelDescent::by_age) return std::max(level - 1, 0);
    const auto allowed = static_cast<std::int32_t>(
        std::min<std::int64_t>((distance - 1) / tokens_per_level, levels));
    return std::min(level, allowed);
  }

  void validate() const {
    expects(grid >= 1 && grid <= 65'536, ErrorCode::invalid_argument,
            "KarrasSchedule: grid must be in 1..65536");
    expects(levels >= 1 && levels <= grid + 1, ErrorCode::invalid_argument,
            "KarrasSchedule: levels must be in 1..grid+1");
    expects(levels == 1 || grid % (levels - 1) == 0, ErrorCode::invalid_argument,
            "KarrasSchedule: levels must be 1, or levels-1 must divide grid");
    // Beyond these alpha or sigma of a level is no normal number any more.
    expects(rho_min >= 1.0e-6F && rho_max > rho_min && rho_max <= 1.0e6F,
            ErrorCode::invalid_argument,
            "KarrasSchedule: 1e-6 <= rho_min < rho_max <= 1e6 is needed");
    expects(tokens_per_level >= 1, ErrorCode::invalid_argument,
            "KarrasSchedule: tokens_per_level must be at least 1");
  }

  friend bool operator==(const KarrasSchedule&, const KarrasSchedule&) = default;
};

}  // namespace sjd
