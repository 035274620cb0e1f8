// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "sjd/hosts/detail/lanes.hpp"

namespace sjd::hosts {

/// Instruction sets with a kernel of their own; all give the same bits.
enum class InstructionSet : std::uint8_t { scalar, avx2, avx512 };

/// Outputs that lie side by side in a packed weight panel.
inline constexpr std::int64_t panel_width = 32;

/// Elements of one k of a panel: 32 floats, or 16 words that hold output i in the low half and
/// output i + 16 in the high half as bf16.
template <class Weight>
inline constexpr std::int64_t panel_row = sizeof(Weight) * 8 == 32 ? 32 : 0;
template <>
inline constexpr std::int64_t panel_row<std::uint32_t> = 16;

/// y = x W^T for `panels` panels, each output one fma chain over ascending k in fp32: the result of
/// a row depends neither on the other rows nor on how panels are split over threads.
///
/// shapes  x [rows, depth]; weights [panels, depth, panel_width]; y [rows, panels * panel_width], overwritten
/// edge    accumulate: the finished product is added to y, one rounding
template <class Weight>
struct Product {
  const float* x = nullptr;
  std::int64_t x_stride = 0;  ///< may be less than depth: overlapping rows make a convolution
  std::int64_t rows = 0;
  std::int64_t depth = 0;
  const Weight* weights = nullptr;
  std::int64_t panel_stride = 0;  ///< elements from panel to panel
  std::int64_t panels = 0;
  float* y = nullptr;
  std::int64_t y_stride = 0;
  bool accumulate = false;
};

/// The arithmetic of the reference host. Sizes are multiples of 16 where nothing else is said.
struct KernelTable {
  void (*product_fp32)(const Product<float>&);
  void (*product_bf16)(const Product<std::uint32_t>&);
  /// y = x / sqrt(mean(x^2) + epsilon) * weight; y may be x.
  void (*rms_norm)(const float* x, const float* weight, float* y, std::int64_t size, float epsilon);
  /// y = x / (1 + exp(-x)); y may be x.
  void (*silu)(const float* x, float* y, std::int64_t size);
  /// y = silu(gate) * up.
  void (*silu_multiply)(const float* gate, const float* up, float* y, std::int64_t size);
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
#define SJD_KERNEL
#include "sjd/hosts/detail/kernels.inc"
#undef SJD_KERNEL
}  // namespace scalar

#if SJD_HOST_X86
namespace avx2 {
#define SJD_KERNEL SJD_AVX2
#include "sjd/hosts/detail/kernels.inc"
#undef SJD_KERNEL
}  // namespace avx2

namespace avx512 {
#define SJD_KERNEL SJD_AVX512
#include "sjd/hosts/detail/kernels.inc"
#undef SJD_KERNEL
}  // namespace avx512
#endif

}  // namespace detail

/// Whether this machine runs `set`.
[[nodiscard]] inline bool supported(InstructionSet set) {
#if SJD_HOST_X86
  if (set == InstructionSet::avx512) return __builtin_cpu_supports("avx512f") != 0;
  if (set == InstructionSet::avx2) {
    return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  }
#endif
  return set == InstructionSet::scalar;
}

/// The widest set that this machine runs.
[[nodiscard]] inline InstructionSet best_instruction_set() {
  if (supported(InstructionSet::avx512)) return InstructionSet::avx512;
  return supported(InstructionSet::avx2) ? InstructionSet::avx2 : InstructionSet::scalar;
}

/// The kernels of `set`, which must be supported here.
[[nodiscard]] inline const KernelTable& kernels(InstructionSet set) {
#if SJD_HOST_X86
  if (set == InstructionSet::avx512) return detail::avx512::kernel_table;
  if (set == InstructionSet::avx2) return detail::avx2::kernel_table;
#endif
  static_cast<void>(set);
  return detail::scalar::kernel_table;
}

}  // namespace sjd::hosts
