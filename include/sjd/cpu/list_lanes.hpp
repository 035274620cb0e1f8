// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "sjd/core/half.hpp"
#include "sjd/cpu/lanes.hpp"

/// Conditions on sixteen lanes, and what is packed, counted or added where they hold; integers
/// only, so that all instruction sets agree.
///
/// - `at_least(a, b)`: a >= b in every lane; a NaN is not. `positive(words)`: words > 0
/// - `load(p)` also reads sixteen bf16 or half numbers
/// - `next_numbers(inout)`: adds 16 to every lane of what `numbers_from` began
/// - `append(mask, x, out)`: packs the lanes of the mask in front of `out`, with room for 16, and
///   returns how many there are
/// - `count(mask, inout)`: adds 1 in every lane of the mask; `lane_sum` adds the sixteen up
/// - `add_where(mask, words, inout)`: adds words to 64-bit sums; `sum_of` adds these up
namespace sjd::lanes {

namespace scalar {

struct Mask {
  bool v[16];
};
struct Sums {
  std::uint64_t v;
};

template <class T>
SJD_ALWAYS_INLINE Lanes load(const T* p) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = widened(p[i]);
  return r;
}
SJD_ALWAYS_INLINE Mask at_least(Lanes a, Lanes b) {
  Mask m;
  for (int i = 0; i < 16; ++i) m.v[i] = a.v[i] >= b.v[i];
  return m;
}
SJD_ALWAYS_INLINE Mask positive(Words a) {
  Mask m;
  for (int i = 0; i < 16; ++i) m.v[i] = a.v[i] > 0;
  return m;
}
SJD_ALWAYS_INLINE Mask both(Mask a, Mask b) {
  for (int i = 0; i < 16; ++i) a.v[i] = a.v[i] && b.v[i];
  return a;
}
SJD_ALWAYS_INLINE Mask all_but(Mask a) {
  for (int i = 0; i < 16; ++i) a.v[i] = !a.v[i];
  return a;
}
SJD_ALWAYS_INLINE Words load_words(const std::uint32_t* p) {
  Words r;
  for (int i = 0; i < 16; ++i) r.v[i] = p[i];
  return r;
}
SJD_ALWAYS_INLINE Words numbers_from(std::uint32_t first) {
  Words r;
  for (std::uint32_t i = 0; i < 16; ++i) r.v[i] = first + i;
  return r;
}
template <class T, class V>
SJD_ALWAYS_INLINE std::int64_t append_lanes(Mask m, V a, T* out) {
  std::int64_t count = 0;
  for (int i = 0; i < 16; ++i) {
    out[count] = a.v[i];
    count += m.v[i] ? 1 : 0;
  }
  return count;
}
SJD_ALWAYS_INLINE std::int64_t append(Mask m, Lanes a, float* out) {
  return append_lanes(m, a, out);
}
SJD_ALWAYS_INLINE std::int64_t append(Mask m, Words a, std::uint32_t* out) {
  return append_lanes(m, a, out);
}
SJD_ALWAYS_INLINE void next_numbers(Words& inout) {
  for (std::uint32_t& number : inout.v) number += 16;
}
SJD_ALWAYS_INLINE Words no_words() {
  return {};
}
SJD_ALWAYS_INLINE void count(Mask m, Words& inout) {
  for (int i = 0; i < 16; ++i) inout.v[i] += m.v[i] ? 1U : 0U;
}
SJD_ALWAYS_INLINE std::uint64_t lane_sum(Words a) {
  std::uint64_t sum = 0;
  for (const std::uint32_t word : a.v) sum += word;
  return sum;
}
SJD_ALWAYS_INLINE Sums no_sums() {
  return {0};
}
SJD_ALWAYS_INLINE void add_where(Mask m, Words a, Sums& inout) {
  for (int i = 0; i < 16; ++i) inout.v += m.v[i] ? a.v[i] : 0U;
}
SJD_ALWAYS_INLINE std::uint64_t sum_of(Sums a) {
  return a.v;
}

}  // namespace scalar

#if SJD_X86
namespace avx2 {

#define SJD_LANE SJD_ALWAYS_INLINE SJD_AVX2
struct Mask {
  __m256i a, b;
};
struct Sums {
  __m256i v;
};

/// Byte i of entry m is the place of the i-th set bit of m.
inline constexpr auto packing = [] {
  std::array<std::uint64_t, 256> places{};
  for (std::uint32_t mask = 0; mask < 256; ++mask) {
    int out = 0;
    for (std::uint32_t lane = 0; lane < 8; ++lane) {
      if ((mask >> lane & 1U) != 0) places[mask] |= std::uint64_t{lane} << 8 * out++;
    }
  }
  return places;
}();

SJD_LANE __m256 wide_half(const Bfloat16* p) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}
SJD_LANE __m256 wide_half(const Float16* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
template <class T>
SJD_LANE Lanes load(const T* p) {
  return {wide_half(p), wide_half(p + 8)};
}
SJD_LANE Mask at_least(Lanes x, Lanes y) {
  return {_mm256_castps_si256(_mm256_cmp_ps(x.a, y.a, _CMP_GE_OQ)),
          _mm256_castps_si256(_mm256_cmp_ps(x.b, y.b, _CMP_GE_OQ))};
}
SJD_LANE Mask all_but(Mask m) {
  const __m256i ones = _mm256_set1_epi32(-1);
  return {_mm256_xor_si256(m.a, ones), _mm256_xor_si256(m.b, ones)};
}
SJD_LANE Mask positive(Words x) {
  const __m256i zero = _mm256_setzero_si256();
  return all_but({_mm256_cmpeq_epi32(x.a, zero), _mm256_cmpeq_epi32(x.b, zero)});
}
SJD_LANE Mask both(Mask x, Mask y) {
  return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
SJD_LANE Words load_words(const std::uint32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
}
SJD_LANE Words numbers_from(std::uint32_t first) {
  const __m256i low = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(first)),
                                       _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
  return {low, _mm256_add_epi32(low, _mm256_set1_epi32(8))};
}
SJD_LANE void next_numbers(Words& inout) {
  inout.a = _mm256_add_epi32(inout.a, _mm256_set1_epi32(16));
  inout.b = _mm256_add_epi32(inout.b, _mm256_set1_epi32(16));
}
SJD_LANE std::int64_t append_half(__m256i mask, __m256i x, void* out) {
  const auto bits = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(mask)));
  const __m256i places =
      _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(packing[bits])));
  _mm256_storeu_si256(static_cast<__m256i*>(out), _mm256_permutevar8x32_epi32(x, places));
  return std::popcount(bits);
}
SJD_LANE std::int64_t append(Mask m, Words x, std::uint32_t* out) {
  const std::int64_t low = append_half(m.a, x.a, out);
  return low + append_half(m.b, x.b, out + low);
}
SJD_LANE std::int64_t append(Mask m, Lanes x, float* out) {
  const std::int64_t low = append_half(m.a, _mm256_castps_si256(x.a), out);
  return low + append_half(m.b, _mm256_castps_si256(x.b), out + low);
}
SJD_LANE Words no_words() {
  return {_mm256_setzero_si256(), _mm256_setzero_si256()};
}
SJD_LANE void count(Mask m, Words& inout) {
  inout.a = _mm256_sub_epi32(inout.a, m.a);
  inout.b = _mm256_sub_epi32(inout.b, m.b);
}
SJD_LANE Sums no_sums() {
  return {_mm256_setzero_si256()};
}
SJD_LANE void add_half(__m256i x, Sums& inout) {
  const __m256i even = _mm256_and_si256(x, _mm256_set1_epi64x(0xFFFFFFFF));
  inout.v = _mm256_add_epi64(inout.v, _mm256_add_epi64(even, _mm256_srli_epi64(x, 32)));
}
SJD_LANE void add_where(Mask m, Words x, Sums& inout) {
  add_half(_mm256_and_si256(m.a, x.a), inout);
  add_half(_mm256_and_si256(m.b, x.b), inout);
}
SJD_LANE std::uint64_t sum_of(Sums x) {
  alignas(32) std::uint64_t parts[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(parts), x.v);
  return parts[0] + parts[1] + parts[2] + parts[3];
}
SJD_LANE std::uint64_t lane_sum(Words x) {
  Sums sums = no_sums();
  add_half(x.a, sums);
  add_half(x.b, sums);
  return sum_of(sums);
}
#undef SJD_LANE

}  // namespace avx2

namespace avx512 {

#define SJD_LANE SJD_ALWAYS_INLINE SJD_AVX512
struct Mask {
  __mmask16 v;
};
struct Sums {
  __m512i v;
};

SJD_LANE Lanes load(const Bfloat16* p) {
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m512i wide = _mm512_maskz_cvtepu16_epi32(all, x);
  return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(all, wide, 16))};
}
SJD_LANE Lanes load(const Float16* p) {
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_maskz_cvtph_ps(all, x)};
}
SJD_LANE Mask at_least(Lanes x, Lanes y) {
  return {_mm512_cmp_ps_mask(x.v, y.v, _CMP_GE_OQ)};
}
SJD_LANE Mask positive(Words x) {
  return {_mm512_test_epi32_mask(x.v, x.v)};
}
SJD_LANE Mask both(Mask x, Mask y) {
  return {static_cast<__mmask16>(x.v & y.v)};
}
SJD_LANE Mask all_but(Mask x) {
  return {static_cast<__mmask16>(~x.v)};
}
SJD_LANE Words load_words(const std::uint32_t* p) {
  return {_mm512_loadu_si512(p)};
}
SJD_LANE Words numbers_from(std::uint32_t first) {
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  return {_mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(first)))};
}
SJD_LANE void next_numbers(Words& inout) {
  inout.v = _mm512_add_epi32(inout.v, _mm512_set1_epi32(16));
}
SJD_LANE std::int64_t append(Mask m, Words x, std::uint32_t* out) {
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(m.v, x.v));
  return __builtin_popcount(m.v);
}
SJD_LANE std::int64_t append(Mask m, Lanes x, float* out) {
  _mm512_storeu_ps(out, _mm512_maskz_compress_ps(m.v, x.v));
  return __builtin_popcount(m.v);
}
SJD_LANE Words no_words() {
  return {_mm512_setzero_si512()};
}
SJD_LANE void count(Mask m, Words& inout) {
  inout.v = _mm512_mask_sub_epi32(inout.v, m.v, inout.v, _mm512_set1_epi32(-1));
}
SJD_LANE Sums no_sums() {
  return {_mm512_setzero_si512()};
}
SJD_LANE void add_where(Mask m, Words x, Sums& inout) {
  const __m512i kept = _mm512_maskz_mov_epi32(m.v, x.v);
  const __m512i even = _mm512_and_si512(kept, _mm512_set1_epi64(0xFFFFFFFF));
  const __m512i odd = _mm512_maskz_srli_epi64(0xFF, kept, 32);
  inout.v = _mm512_add_epi64(inout.v, _mm512_add_epi64(even, odd));
}
SJD_LANE std::uint64_t sum_of(Sums x) {
  alignas(64) std::uint64_t parts[8];
  _mm512_store_si512(parts, x.v);
  std::uint64_t sum = 0;
  for (const std::uint64_t part : parts) sum += part;
  return sum;
}
SJD_LANE std::uint64_t lane_sum(Words x) {
  Sums sums = no_sums();
  add_where({all}, x, sums);
  return sum_of(sums);
}
#undef SJD_LANE

}  // namespace avx512
#endif

}  // namespace sjd::lanes
