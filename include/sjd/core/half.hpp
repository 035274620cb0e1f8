// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>

#include "sjd/core/config.hpp"

namespace sjd {

/// A bf16 number: the upper half of a float.
struct Bfloat16 {
  std::uint16_t bits = 0;
};

/// An IEEE half: sign, 5 bits of exponent, 10 of fraction.
struct Float16 {
  std::uint16_t bits = 0;
};

/// What logits may be stored as.
template <class T>
concept LogitType = std::same_as<T, float> || std::same_as<T, Bfloat16> || std::same_as<T, Float16>;

SJD_HOST_DEVICE inline float widened(float x) {
  return x;
}

/// The same number as a float.
SJD_HOST_DEVICE inline float widened(Bfloat16 x) {
  return std::bit_cast<float>(std::uint32_t{x.bits} << 16U);
}

/// The same number as a float; a NaN stays one.
SJD_HOST_DEVICE inline float widened(Float16 x) {
  const std::uint32_t sign = (x.bits & 0x8000U) << 16U;
  const std::uint32_t magnitude = x.bits & 0x7FFFU;
  if (magnitude >= 0x7C00U) {  // infinity or NaN
    return std::bit_cast<float>(sign | 0x7F800000U | (magnitude & 0x3FFU) << 13U);
  }
  if (magnitude < 0x400U) {  // fraction x 2^-24
    const float small = static_cast<float>(static_cast<std::int32_t>(magnitude)) * 5.9604645e-8F;
    return sign != 0 ? -small : small;
  }
  return std::bit_cast<float>(sign | ((magnitude << 13U) + 0x38000000U));
}

}  // namespace sjd
