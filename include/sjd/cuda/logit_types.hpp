// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

#include "sjd/core/config.hpp"

namespace sjd::cuda {

/// A logit as an engine of bfloat16 stores it: the upper half of a float.
struct Bf16 {
  std::uint16_t bits = 0;
};

/// A logit as an engine of IEEE half precision stores it.
struct Fp16 {
  std::uint16_t bits = 0;
};

/// The same number as a float; exact for every type.
SJD_HOST_DEVICE inline float to_float(float x) {
  return x;
}
SJD_HOST_DEVICE inline float to_float(Bf16 x) {
  return std::bit_cast<float>(std::uint32_t{x.bits} << 16);
}
SJD_HOST_DEVICE inline float to_float(Fp16 x) {
  const std::uint32_t sign = std::uint32_t{x.bits & 0x8000U} << 16;
  const std::uint32_t rest = x.bits & 0x7FFFU;
  if (rest < 0x0400U) {  // zero and denormals: a whole number of 2^-24
    const float size = static_cast<float>(rest) * 5.9604645e-8F;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(size));
  }
  const std::uint32_t special = rest >= 0x7C00U ? 112U << 23 : 0U;  // Inf and NaN
  return std::bit_cast<float>(sign | ((rest << 13) + (112U << 23) + special));
}

/// A float as an integer of the same order; -0 and +0 are one number. A NaN lies at either end.
SJD_HOST_DEVICE inline std::uint32_t ordered_key(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x + 0.0F);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

/// The float of an ordered key.
SJD_HOST_DEVICE inline float key_value(std::uint32_t key) {
  return std::bit_cast<float>((key & 0x80000000U) != 0 ? key ^ 0x80000000U : ~key);
}

}  // namespace sjd::cuda
