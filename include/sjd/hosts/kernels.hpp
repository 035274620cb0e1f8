// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "sjd/cpu/kernels.hpp"
#include "sjd/hosts/detail/bf16_product.hpp"
#include "sjd/hosts/detail/bf16_tiles.hpp"

namespace sjd::hosts {

using cpu::Product;
using lanes::InstructionSet;

/// The arithmetic of the reference host. Sizes are multiples of 16 where nothing else is said.
struct KernelTable {
  void (*product_fp32)(const Product&);
  void (*product_bf16)(const Bf16Product&);
  /// y = x, rounded to the nearest bf16, ties to even; denormals become zeros.
  void (*round_row)(const float* x, std::uint16_t* y, std::int64_t size);
  /// y = x / sqrt(mean(x^2) + epsilon) * weight; y may be x.
  void (*rms_norm)(const float* x, const float* weight, float* y, std::int64_t size, float epsilon);
  /// y = x / (1 + exp(-x)); y may be x.
  void (*silu)(const float* x, float* y, std::int64_t size);
  /// y = silu(gate) * up: gate_up [panels, 2, panel_width], y [panels, panel_width].
  void (*silu_multiply)(const float* gate_up, float* y, std::int64_t panels);
  /// Scores [0, size) become exp(score - max), the rest up to padded_size (a multiple of 16)
  /// becomes 0. Any size >= 1. Returns the sum: lane i % 16 in ascending order, then a fixed tree.
  float (*softmax_weights)(float* inout_scores, std::int64_t size, std::int64_t padded_size);
  /// y = x * factor.
  void (*scale_row)(const float* x, float factor, float* y, std::int64_t size);
  /// Rotates the pairs (i, i + half): y may be x.
  void (*rotate)(const float* x, const float* cosine, const float* sine, float* y,
                 std::int64_t half);
};

namespace detail {

namespace scalar {
using cpu::detail::scalar::product;
#define SJD_KERNEL
#include "sjd/hosts/detail/kernels.inc"
#undef SJD_KERNEL
}  // namespace scalar

#if SJD_X86
namespace avx2 {
using cpu::detail::avx2::product;
#define SJD_KERNEL SJD_AVX2
#include "sjd/hosts/detail/kernels.inc"
#undef SJD_KERNEL
}  // namespace avx2

namespace avx512 {
using cpu::detail::avx512::product;
#define SJD_KERNEL SJD_AVX512
#include "sjd/hosts/detail/kernels.inc"
#undef SJD_KERNEL
}  // namespace avx512
#endif

#if SJD_HOST_TILES
namespace amx {
inline constexpr KernelTable kernel_table = [] {
  KernelTable table = avx512::kernel_table;
  table.product_bf16 = product_bf16;
  table.round_row = round_row;
  return table;
}();
}  // namespace amx
#endif

}  // namespace detail

/// Whether this machine runs `set`.
[[nodiscard]] inline bool supported(InstructionSet set) {
#if SJD_HOST_TILES
  if (set == InstructionSet::amx) return detail::amx::supported();
#endif
  return cpu::supported(set);
}

/// The widest set that this machine runs.
[[nodiscard]] inline InstructionSet best_instruction_set() {
  if (supported(InstructionSet::amx)) return InstructionSet::amx;
  if (supported(InstructionSet::avx512)) return InstructionSet::avx512;
  return supported(InstructionSet::avx2) ? InstructionSet::avx2 : InstructionSet::scalar;
}

/// The kernels of `set`, which must be supported here.
[[nodiscard]] inline const KernelTable& kernels(InstructionSet set) {
#if SJD_HOST_TILES
  if (set == InstructionSet::amx) return detail::amx::kernel_table;
#endif
#if SJD_X86
  if (set == InstructionSet::avx512) return detail::avx512::kernel_table;
  if (set == InstructionSet::avx2) return detail::avx2::kernel_table;
#endif
  static_cast<void>(set);
  return detail::scalar::kernel_table;
}

}  // namespace sjd::hosts
