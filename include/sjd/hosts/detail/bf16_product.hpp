// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/cpu/kernels.hpp"
#include "sjd/hosts/detail/bf16_lanes.hpp"

namespace sjd::hosts {

using cpu::panel_width;

/// Inputs that are summed before they meet the running total, see Bf16Product.
inline constexpr std::int64_t block_depth = 32;

/// Words of one block of 16 outputs: [16 pairs of inputs][16 outputs], the even input in the low
/// half. It is what one tile holds.
inline constexpr std::int64_t half_block = 256;

/// y = x W^T of bf16 numbers in the arithmetic of the TDPBF16PS instruction.
///
/// An output starts at 0 and takes its inputs in ascending blocks of 32. In a block the 16 even and
/// the 16 odd inputs each run in one fp32 fma chain that starts at 0; then
/// total = total + (even + odd). Every step rounds to nearest even, denormals are zeros. So the
/// result of a row depends neither on the other rows nor on how panels are split over threads, and
/// it is the same with and without that instruction.
///
/// shapes  x [rows, 32 * blocks]; weights [panels, blocks, 2, half_block]; y [rows, 32 * panels]
/// edge    y is overwritten; with accumulate the finished product is added to it, one rounding
struct Bf16Product {
  const std::uint16_t* x = nullptr;
  std::int64_t x_stride = 0;
  std::int64_t rows = 0;
  std::int64_t blocks = 0;
  const std::uint32_t* weights = nullptr;
  std::int64_t panel_stride = 0;  ///< words from panel to panel
  std::int64_t panels = 0;
  float* y = nullptr;
  std::int64_t y_stride = 0;
  bool accumulate = false;
};

namespace detail {

namespace scalar {
#define SJD_KERNEL
#include "sjd/hosts/detail/bf16_product.inc"
#undef SJD_KERNEL
}  // namespace scalar

#if SJD_X86
namespace avx2 {
#define SJD_KERNEL SJD_AVX2
#include "sjd/hosts/detail/bf16_product.inc"
#undef SJD_KERNEL
}  // namespace avx2

namespace avx512 {
#define SJD_KERNEL SJD_AVX512
#include "sjd/hosts/detail/bf16_product.inc"
#undef SJD_KERNEL
}  // namespace avx512
#endif

}  // namespace detail
}  // namespace sjd::hosts
