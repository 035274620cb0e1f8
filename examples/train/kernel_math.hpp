// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels.hpp"

/// Scalar functions simple enough for the compiler to run them sixteen at a time.
namespace sjd::train {

inline float widen(Bf16 bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16U);
}

/// Round to nearest even. NaN is not kept: a NaN loss ends the training before it matters.
inline Bf16 narrow(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<Bf16>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

/// exp within 2 ulp on [-87, 88], clamped outside: 2^round times a polynomial of the rest.
inline float quick_exp(float x) {
  constexpr float magic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  float t = x * 1.44269504F;
  t = t < -126.0F ? -126.0F : t;
  t = t > 126.0F ? 126.0F : t;
  const float whole = (t + magic) - magic;
  const float f = t - whole;
  float p = 1.5403530e-4F;
  p = p * f + 1.3333558e-3F;
  p = p * f + 9.6181291e-3F;
  p = p * f + 5.5504109e-2F;
  p = p * f + 2.4022651e-1F;
  p = p * f + 6.9314718e-1F;
  p = p * f + 1.0F;
  const auto exponent = static_cast<std::uint32_t>(static_cast<std::int32_t>(whole) + 127);
  return p * std::bit_cast<float>(exponent << 23U);
}

inline float sigmoid(float x) {
  return 1.0F / (1.0F + quick_exp(-x));
}

/// 1/(1-rate) for a kept element, 0 for a dropped one: a hash of (seed, index).
struct Keep {
  explicit Keep(Dropout dropout)
      : seed{dropout.seed},
        threshold{static_cast<std::uint32_t>(static_cast<double>(dropout.rate) * 16777216.0)},
        scale{1.0F / (1.0F - dropout.rate)} {}

  [[nodiscard]] float operator()(std::uint32_t index) const {
    std::uint32_t x = index * 0x9e3779b9U + seed;
    x = (x ^ (x >> 16U)) * 0x85ebca6bU;
    x = (x ^ (x >> 13U)) * 0xc2b2ae35U;
    return (x >> 8U) >= threshold ? scale : 0.0F;
  }

  std::uint32_t seed;
  std::uint32_t threshold;
  float scale;
};

}  // namespace sjd::train
