// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "timing.hpp"

namespace sjd::bench {

/// y = x W^T of one size.
struct LinearShape {
  std::int64_t rows = 1;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;

  [[nodiscard]] double operations() const {
    return 2.0 * static_cast<double>(rows) * static_cast<double>(inputs) *
           static_cast<double>(outputs);
  }
};

/// The libraries that were there at compile time, each with its weights as it likes them best, fp32
/// and, where it has that, bf16; units are floating-point operations.
///
/// shapes  x [rows, inputs], weight [outputs, inputs], y [rows, outputs]; all outlive the contenders
[[nodiscard]] std::vector<Contender> linear_peers(const LinearShape& shape,
                                                  const std::vector<float>& x,
                                                  const std::vector<float>& weight,
                                                  std::vector<float>& y, int threads);

/// "Eigen 3.4, OpenBLAS; not there: oneDNN (Debian: libdnnl-dev)".
[[nodiscard]] std::string linear_peer_names();

/// What one core can do: fp32 fma, and bf16 with the matrix unit where there is one.
struct Peak {
  double fp32 = 0.0;  ///< floating-point operations a second
  double bf16 = 0.0;
};
[[nodiscard]] Peak measure_peak();

}  // namespace sjd::bench
