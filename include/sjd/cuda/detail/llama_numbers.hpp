// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>

#include "sjd/core/config.hpp"
#include "sjd/cuda/logit_types.hpp"

namespace sjd::cuda {

/// What a model on a device stores weights, activations and its cache in.
template <class T>
concept StoredNumber = std::same_as<T, float> || std::same_as<T, Bf16>;

namespace detail {

/// The nearest stored number, ties to even; a NaN stays one.
template <StoredNumber Number>
SJD_HOST_DEVICE inline Number rounded(float x) {
  if constexpr (std::same_as<Number, float>) {
    return x;
  } else {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return {0x7FFFU};
    return {static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U)};
  }
}

/// Stored numbers in a 32-bit word.
template <StoredNumber Number>
inline constexpr int pack_size = std::same_as<Number, float> ? 1 : 2;

/// Stores two numbers side by side; `to` lies on 4 bytes.
SJD_HOST_DEVICE inline void store_pair(float* to, float x, float y) {
  to[0] = x;
  to[1] = y;
}
SJD_HOST_DEVICE inline void store_pair(Bf16* to, float x, float y) {
  to[0] = rounded<Bf16>(x);
  to[1] = rounded<Bf16>(y);
}

/// Two bf16 numbers in a word, the first one below; ties to even.
SJD_DEVICE inline std::uint32_t packed_pair(float x, float y) {
#if defined(__CUDA_ARCH__)
  std::uint32_t word = 0;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(y), "f"(x));
  return word;
#else
  return std::uint32_t{rounded<Bf16>(x).bits} | std::uint32_t{rounded<Bf16>(y).bits} << 16U;
#endif
}

/// Finite, neither NaN nor infinite.
SJD_HOST_DEVICE inline bool is_finite(float x) {
  return (std::bit_cast<std::uint32_t>(x) & 0x7F800000U) != 0x7F800000U;
}

}  // namespace detail

}  // namespace sjd::cuda
