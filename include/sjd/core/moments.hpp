// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include "sjd/core/config.hpp"

namespace sjd {

/// Mean and variance of numbers, in double precision.
struct Moments {
  double mean = 0.0;
  double variance = 0.0;

  /// The standard deviation; 1 where there is none, so that dividing by it changes nothing.
  [[nodiscard]] SJD_HOST_DEVICE double scale() const {
    return variance > 0.0 ? std::sqrt(variance) : 1.0;
  }
};

/// Moments of first[0], first[stride], ...: `count` >= 1 numbers in two passes, each a sum in this
/// order, so that CPU and CUDA agree and a large mean costs no digits.
SJD_HOST_DEVICE inline Moments moments(const float* first, std::int64_t count,
                                       std::int64_t stride) {
  const auto number = static_cast<double>(count);
  Moments m;
  for (std::int64_t i = 0; i < count; ++i) m.mean += double{first[i * stride]} / number;
  for (std::int64_t i = 0; i < count; ++i) {
    const double off = double{first[i * stride]} - m.mean;
    m.variance += off * off / number;
  }
  return m;
}

}  // namespace sjd
