// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/core/config.hpp"
#include "sjd/cpu/list_lanes.hpp"

/// Two laws side by side, sixteen tokens at a time.
///
/// - `gather(window, tokens, first, out)`: out[i] = window[tokens[i] - first]
/// - `add_surplus(p, q, cross, over_p, over_q)`: adds p and q where p q_sum > q p_sum, exactly
namespace sjd::lanes {

namespace scalar {

SJD_ALWAYS_INLINE void gather(const std::uint32_t* window, const std::int32_t* tokens,
                              std::int32_t first, std::uint32_t* out) {
  for (int i = 0; i < 16; ++i) out[i] = window[tokens[i] - first];
}
/// The sums of two laws.
struct Cross {
  std::uint64_t p, q;
};
SJD_ALWAYS_INLINE Cross cross_of(std::uint64_t p_sum, std::uint64_t q_sum) {
  return {p_sum, q_sum};
}
SJD_ALWAYS_INLINE void add_surplus(Words p, Words q, const Cross& sums, Sums& over_p,
                                   Sums& over_q) {
  for (int i = 0; i < 16; ++i) {
    const bool more = uint128{p.v[i]} * sums.q > uint128{q.v[i]} * sums.p;
    over_p.v += more ? p.v[i] : 0U;
    over_q.v += more ? q.v[i] : 0U;
  }
}

}  // namespace scalar

#if SJD_X86
namespace avx2 {

#define SJD_LANE SJD_ALWAYS_INLINE SJD_AVX2
SJD_LANE void gather_half(const std::uint32_t* window, const std::int32_t* tokens, __m256i first,
                          std::uint32_t* out) {
  const __m256i at =
      _mm256_sub_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(tokens)), first);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                      _mm256_i32gather_epi32(reinterpret_cast<const int*>(window), at, 4));
}
SJD_LANE void gather(const std::uint32_t* window, const std::int32_t* tokens, std::int32_t first,
                     std::uint32_t* out) {
  const __m256i from = _mm256_set1_epi32(first);
  gather_half(window, tokens, from, out);
  gather_half(window, tokens + 8, from, out + 8);
}
/// The sums of two laws by halves; below 2^62, so that signed comparisons hold.
struct Cross {
  __m256i p_low, p_high, q_low, q_high;
};
SJD_LANE __m256i broadcast_low(std::uint64_t x) {
  return _mm256_set1_epi64x(static_cast<long long>(x & 0xFFFFFFFFU));
}
SJD_LANE Cross cross_of(std::uint64_t p_sum, std::uint64_t q_sum) {
  return {broadcast_low(p_sum), broadcast_low(p_sum >> 32), broadcast_low(q_sum),
          broadcast_low(q_sum >> 32)};
}
/// For the masses in the low halves of 64 bits.
SJD_LANE void add_surplus_half(__m256i p, __m256i q, const Cross& sums, Sums& over_p,
                               Sums& over_q) {
  const __m256i low = _mm256_set1_epi64x(0xFFFFFFFF);
  const __m256i x = _mm256_mul_epu32(p, sums.q_low), y = _mm256_mul_epu32(q, sums.p_low);
  const __m256i x_high =
      _mm256_add_epi64(_mm256_mul_epu32(p, sums.q_high), _mm256_srli_epi64(x, 32));
  const __m256i y_high =
      _mm256_add_epi64(_mm256_mul_epu32(q, sums.p_high), _mm256_srli_epi64(y, 32));
  const __m256i beyond = _mm256_cmpgt_epi64(_mm256_and_si256(x, low), _mm256_and_si256(y, low));
  const __m256i more =
      _mm256_or_si256(_mm256_cmpgt_epi64(x_high, y_high),
                      _mm256_and_si256(_mm256_cmpeq_epi64(x_high, y_high), beyond));
  const __m256i kept = _mm256_and_si256(more, low);
  over_p.v = _mm256_add_epi64(over_p.v, _mm256_and_si256(p, kept));
  over_q.v = _mm256_add_epi64(over_q.v, _mm256_and_si256(q, kept));
}
SJD_LANE void add_surplus(Words p, Words q, const Cross& sums, Sums& over_p, Sums& over_q) {
  add_surplus_half(p.a, q.a, sums, over_p, over_q);
  add_surplus_half(_mm256_srli_epi64(p.a, 32), _mm256_srli_epi64(q.a, 32), sums, over_p, over_q);
  add_surplus_half(p.b, q.b, sums, over_p, over_q);
  add_surplus_half(_mm256_srli_epi64(p.b, 32), _mm256_srli_epi64(q.b, 32), sums, over_p, over_q);
}
#undef SJD_LANE

}  // namespace avx2

namespace avx512 {

#define SJD_LANE SJD_ALWAYS_INLINE SJD_AVX512
SJD_LANE void gather_half(const std::uint32_t* window, const std::int32_t* tokens, __m256i first,
                          std::uint32_t* out) {
  const __m256i at =
      _mm256_sub_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(tokens)), first);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                      _mm256_i32gather_epi32(reinterpret_cast<const int*>(window), at, 4));
}
SJD_LANE void gather(const std::uint32_t* window, const std::int32_t* tokens, std::int32_t first,
                     std::uint32_t* out) {
  const __m256i from = _mm256_set1_epi32(first);
  gather_half(window, tokens, from, out);
  gather_half(window, tokens + 8, from, out + 8);
}
/// The sums of two laws by halves.
struct Cross {
  __m512i p_low, p_high, q_low, q_high;
  __m512 ratio;  // p / q, about
};
SJD_LANE __m512i broadcast_low(std::uint64_t x) {
  return _mm512_set1_epi64(static_cast<long long>(x & 0xFFFFFFFFU));
}
SJD_LANE Cross cross_of(std::uint64_t p_sum, std::uint64_t q_sum) {
  const auto ratio = static_cast<float>(static_cast<double>(p_sum) / static_cast<double>(q_sum));
  return {broadcast_low(p_sum), broadcast_low(p_sum >> 32), broadcast_low(q_sum),
          broadcast_low(q_sum >> 32), _mm512_set1_ps(ratio)};
}
/// For the masses in the low halves of 64 bits.
SJD_LANE void add_surplus_half(__m512i p, __m512i q, const Cross& sums, Sums& over_p,
                               Sums& over_q) {
  const __m512i low = _mm512_set1_epi64(0xFFFFFFFF);
  const __m512i x = _mm512_maskz_mul_epu32(0xFF, p, sums.q_low);
  const __m512i y = _mm512_maskz_mul_epu32(0xFF, q, sums.p_low);
  const __m512i x_high = _mm512_add_epi64(_mm512_maskz_mul_epu32(0xFF, p, sums.q_high),
                                          _mm512_maskz_srli_epi64(0xFF, x, 32));
  const __m512i y_high = _mm512_add_epi64(_mm512_maskz_mul_epu32(0xFF, q, sums.p_high),
                                          _mm512_maskz_srli_epi64(0xFF, y, 32));
  const __mmask8 same = _mm512_cmpeq_epu64_mask(x_high, y_high);
  const __mmask8 beyond =
      _mm512_mask_cmpgt_epu64_mask(same, _mm512_and_si512(x, low), _mm512_and_si512(y, low));
  const auto more = static_cast<__mmask8>(_mm512_cmpgt_epu64_mask(x_high, y_high) | beyond);
  over_p.v = _mm512_mask_add_epi64(over_p.v, more, over_p.v, _mm512_and_si512(p, low));
  over_q.v = _mm512_mask_add_epi64(over_q.v, more, over_q.v, _mm512_and_si512(q, low));
}
SJD_LANE void add_surplus(Words p, Words q, const Cross& sums, Sums& over_p, Sums& over_q) {
  // Floats decide all but near ties: everything here is good to 2^-21.
  const __m512 close = _mm512_set1_ps(1.0F + 9.5367432e-7F);
  const __m512 x = _mm512_maskz_cvtepu32_ps(all, p.v);
  const __m512 y = _mm512_mul_ps(_mm512_maskz_cvtepu32_ps(all, q.v), sums.ratio);
  const __mmask16 more = _mm512_cmp_ps_mask(x, _mm512_mul_ps(y, close), _CMP_GT_OQ);
  const __mmask16 less = _mm512_cmp_ps_mask(_mm512_mul_ps(x, close), y, _CMP_LT_OQ);
  if (static_cast<__mmask16>(more | less) == all) {
    add_where({more}, p, over_p);
    add_where({more}, q, over_q);
    return;
  }
  add_surplus_half(p.v, q.v, sums, over_p, over_q);
  add_surplus_half(_mm512_maskz_srli_epi64(0xFF, p.v, 32), _mm512_maskz_srli_epi64(0xFF, q.v, 32),
                   sums, over_p, over_q);
}
#undef SJD_LANE

}  // namespace avx512
#endif

}  // namespace sjd::lanes
