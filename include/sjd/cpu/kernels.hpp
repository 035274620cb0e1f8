// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "sjd/core/half.hpp"
#include "sjd/core/mass.hpp"
#include "sjd/core/numeric.hpp"
#include "sjd/core/philox.hpp"
#include "sjd/core/sampling.hpp"
#include "sjd/cpu/lanes.hpp"
#include "sjd/cpu/list_lanes.hpp"
#include "sjd/cpu/surplus_lanes.hpp"
#include "sjd/model.hpp"

#if SJD_X86
#include <cpuid.h>
#endif

/// The loops over a vocabulary, chosen at run time for the processor at hand.
namespace sjd::cpu {

using lanes::InstructionSet;

/// Outputs that lie side by side in a packed weight panel.
inline constexpr std::int64_t panel_width = 32;

/// y = x W^T for `panels` panels, each output one fma chain over ascending k in fp32: the result of
/// a row depends neither on the other rows nor on how panels are split over threads.
///
/// shapes  x [rows, depth]; weights [panels, depth, panel_width];
///         y [rows, panels * panel_width], overwritten
/// edge    accumulate: the finished product is added to y, one rounding
struct Product {
  const float* x = nullptr;
  std::int64_t x_stride = 0;  ///< may be less than depth: overlapping rows make a convolution
  std::int64_t rows = 0;
  std::int64_t depth = 0;
  const float* weights = nullptr;
  std::int64_t panel_stride = 0;  ///< elements from panel to panel
  std::int64_t panels = 0;
  float* y = nullptr;
  std::int64_t y_stride = 0;
  bool accumulate = false;
};

/// One row of logits on its way to a law, or the part of it that a filter kept.
struct MassRow {
  const float* logits = nullptr;  ///< [size]
  const TokenId* ids = nullptr;   ///< [size], ascending; null: 0, 1, 2, ...
  std::int64_t size = 0;
  float top = 0.0F;                                       ///< the largest logit
  float inverse_temperature = 1.0F;                       ///< > 0
  float floor = -std::numeric_limits<float>::infinity();  ///< logits below it have no mass
};

/// A list of masses as a whole.
struct MassTotal {
  std::int64_t size = 0;
  std::uint64_t sum = 0;
};

/// Logits with weights.
struct WeighedList {
  const float* values = nullptr;          ///< [size]
  const std::uint32_t* masses = nullptr;  ///< [size]; null: each weighs 1
  std::int64_t size = 0;
};

/// About where logits lie; NaN of none.
struct Moments {
  float mean = 0.0F;
  float deviation = 0.0F;
};

/// Three values that part a list, ascending.
using Pivots = std::array<float, 3>;

/// A law as its list of tokens, ascending, with masses; without them the uniform law, where each of
/// `size` tokens weighs 1.
struct MassList {
  const TokenId* tokens = nullptr;        ///< [size]; null: 0, 1, 2, ...
  const std::uint32_t* masses = nullptr;  ///< [size]; null: each is 1
  std::int64_t size = 0;
  std::uint64_t sum = 0;  ///< of all masses, below 2^62
};

/// Tokens of a target law that one block of a residual is about.
inline constexpr std::int64_t surplus_block = 64;

/// The masses of those tokens of a block that the target law likes better than the draft's law.
struct Surplus {
  std::uint64_t target = 0;
  std::uint64_t draft = 0;
};

/// Where the numbers of one draw come from: Philox counters (position, iteration, lane, purpose)
/// with lanes 0, 1, ..., four numbers each.
struct PhiloxStream {
  std::uint32_t position = 0;
  std::uint32_t iteration = 0;
  std::uint32_t purpose = 0;
  std::array<std::uint32_t, 2> key{};
};

/// Two branches of one row of logits on their way into a list; one branch: row = last, scale 0.
template <LogitType T>
struct GuidedRow {
  const T* row = nullptr;   ///< [size]
  const T* last = nullptr;  ///< [size]
  float scale = 0.0F;
  std::int64_t size = 0;
  float floor = 0.0F;  ///< guided logits below it are left out
};

/// What reads logits as a host stores them. Arrays [size].
template <LogitType T>
struct LogitKernels {
  /// `guide` and `pack_from` in one sweep that writes the list only; also the largest guided logit.
  /// Returns the length of the list, or -1 if one is not finite: then `guide` must decide.
  std::int64_t (*guide_from)(const GuidedRow<T>& row, TokenId* ids, float* values, float* top);
  /// `guide` of sixteen logits in each of `blocks` places, `stride` apart; values [16 x blocks].
  void (*guide_sample)(const GuidedRow<T>& row, std::int64_t stride, std::int64_t blocks,
                       float* values);
  /// guided = before + scale (row - last), see guided_logit; before may be guided, null: last.
  void (*guide)(const T* row, const T* last, float scale, const float* before, float* guided,
                std::int64_t size);
  /// wide = row.
  void (*widen)(const T* row, float* wide, std::int64_t size);
};

/// The arithmetic of the decoder.
struct KernelTable {
  void (*product)(const Product&);
  /// The largest of [size] logits, -Inf for none; false if one of them is NaN or +Inf.
  bool (*largest)(const float* logits, std::int64_t size, float* top);
  /// Packs the logits from `floor` up with their ids, ascending. Arrays with room for size + 16;
  /// returns how many there are.
  std::int64_t (*pack_from)(const float* logits, std::int64_t size, float floor, TokenId* ids,
                            float* values);
  /// The least and the greatest of [size] values above -Inf; least = +Inf > most = -Inf for none.
  void (*range)(const float* values, std::int64_t size, float* least, float* most);
  /// Of the values above -Inf, without the last size % 16.
  Moments (*moments)(const float* values, std::int64_t size);
  /// The weight of the values from each pivot up; none of a pivot that is NaN.
  void (*weigh)(const WeighedList& list, const Pivots& pivots, std::uint64_t (&sums)[3]);
  /// Packs low <= value < high, in order. Arrays with room for size + 16, which may be those of the
  /// list; masses may be null if the list has none. Returns how many there are.
  std::int64_t (*pack_between)(const WeighedList& list, float low, float high, float* values,
                               std::uint32_t* masses);
  /// mass_of((logit - top) / temperature) of every logit from `floor` up, ascending, without those
  /// of mass 0. Arrays with room for size + 16, ids may be those of the row; returns how many there
  /// are, and what they add up to.
  MassTotal (*masses)(const MassRow& row, TokenId* ids, std::uint32_t* kept);
  /// Sums both laws over the tokens of every block where target mass / target sum > draft mass /
  /// draft sum, exactly. Blocks [target.size / surplus_block, rounded up].
  void (*surpluses)(const MassList& target, const MassList& draft, Surplus* blocks);
  /// z = keep z + (pull clean), two roundings. Arrays [size].
  void (*denoise)(float keep, float pull, const float* clean, float* inout_z, std::int64_t size);
  /// Scores become softmax(rise score + fall half_square + log_prior), see PosteriorMean. Arrays
  /// [size], a multiple of 16; the sum takes lane v % 16 in ascending order, then a fixed tree.
  void (*posterior)(float* inout_scores, float rise, float fall, const float* half_square,
                    const float* log_prior, std::int64_t size);
  /// standard_normal of the first [size] words of a stream.
  void (*normals)(const PhiloxStream& stream, float* values, std::int64_t size);
  /// The place of the law's earliest token in a race: exponential_variate / mass, the first one on
  /// a tie. The word of token t is number t % 4 of lane t / 4. law.size > 0.
  std::int64_t (*race)(const MassList& law, const PhiloxStream& stream);
  LogitKernels<float> fp32;
  LogitKernels<Bfloat16> bf16;
  LogitKernels<Float16> fp16;

  /// Those of one type of logits.
  template <LogitType T>
  [[nodiscard]] const LogitKernels<T>& of() const {
    if constexpr (std::same_as<T, float>) return fp32;
    if constexpr (std::same_as<T, Bfloat16>) return bf16;
    if constexpr (std::same_as<T, Float16>) return fp16;
  }
};

namespace detail {

namespace scalar {
using namespace lanes::scalar;
#define SJD_KERNEL
#include "sjd/cpu/detail/filter_kernels.inc"
#include "sjd/cpu/detail/surplus_kernels.inc"

#include "sjd/cpu/detail/kernels.inc"
#include "sjd/cpu/detail/random_kernels.inc"
#undef SJD_KERNEL
}  // namespace scalar

#if SJD_X86
namespace avx2 {
using namespace lanes::avx2;
#define SJD_KERNEL SJD_AVX2
#include "sjd/cpu/detail/filter_kernels.inc"
#include "sjd/cpu/detail/surplus_kernels.inc"

#include "sjd/cpu/detail/kernels.inc"
#include "sjd/cpu/detail/random_kernels.inc"
#undef SJD_KERNEL
}  // namespace avx2

namespace avx512 {
using namespace lanes::avx512;
#define SJD_KERNEL SJD_AVX512
#include "sjd/cpu/detail/filter_kernels.inc"
#include "sjd/cpu/detail/surplus_kernels.inc"

#include "sjd/cpu/detail/kernels.inc"
#include "sjd/cpu/detail/random_kernels.inc"
#undef SJD_KERNEL
}  // namespace avx512
#endif

}  // namespace detail

/// Whether this machine runs the decoder's kernels of `set`; they have no tiles.
[[nodiscard]] inline bool supported(InstructionSet set) {
#if SJD_X86
  if (set == InstructionSet::avx512) return __builtin_cpu_supports("avx512f") != 0;
  if (set == InstructionSet::avx2) {
    // clang 14 does not know the name of F16C.
    unsigned a = 0, b = 0, c = 0, d = 0;
    const bool half = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
    return half && __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  }
#endif
  return set == InstructionSet::scalar;
}

/// The decoder's kernels of `set`, which must be supported here.
[[nodiscard]] inline const KernelTable& kernels(InstructionSet set) {
#if SJD_X86
  if (set == InstructionSet::avx512) return detail::avx512::kernel_table;
  if (set == InstructionSet::avx2) return detail::avx2::kernel_table;
#endif
  static_cast<void>(set);
  return detail::scalar::kernel_table;
}

/// The decoder's kernels of the widest set that this machine runs.
[[nodiscard]] inline const KernelTable& kernels() {
  static const KernelTable& best =
      kernels(supported(InstructionSet::avx512) ? InstructionSet::avx512
              : supported(InstructionSet::avx2) ? InstructionSet::avx2
                                                : InstructionSet::scalar);
  return best;
}

}  // namespace sjd::cpu
