// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/cpu/lanes.hpp"

/// What a product of bf16 numbers needs beyond Lanes, with one meaning in all instruction sets.
///
/// The arithmetic is the one of TDPBF16PS: operands that are denormal count as zero, and a result
/// that would be denormal becomes zero, each with its sign kept. On x86 the processor does that
/// itself while a FlushScope lives; the scalar set does it in software, whatever the mode of the
/// processor.
namespace sjd::hosts::detail {

namespace scalar {
using namespace lanes::scalar;

struct FlushScope {
  FlushScope() {}  // written out, so that a scope is never an unused variable
};

/// The nearest bf16, ties to even, in the low half; a denormal becomes zero and a NaN stays one.
SJD_ALWAYS_INLINE std::uint32_t round_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7F800000U) == 0) return bits >> 31U << 15U;
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return bits >> 16U | 0x40U;
  return (bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U;
}
SJD_ALWAYS_INLINE void store_bf16(std::uint16_t* p, Lanes a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<std::uint16_t>(round_bf16(a.v[i]));
}

SJD_ALWAYS_INLINE float flush(float x) {
  return __builtin_fabsf(x) < 0x1p-126F ? __builtin_copysignf(0.0F, x) : x;
}
SJD_ALWAYS_INLINE float widen(std::uint32_t bf16_bits) {
  return flush(std::bit_cast<float>(bf16_bits << 16U));
}
/// Even and odd ones of 32 bf16 numbers.
SJD_ALWAYS_INLINE void load_even_odd(const std::uint16_t* p, Lanes& even, Lanes& odd) {
  for (int i = 0; i < 16; ++i) {
    even.v[i] = widen(p[2 * i]);
    odd.v[i] = widen(p[2 * i + 1]);
  }
}
/// The halves of 16 words, which may have been written half by half.
SJD_ALWAYS_INLINE void load_halves(const std::uint32_t* p, Lanes& low, Lanes& high) {
  for (int i = 0; i < 16; ++i) {
    std::uint32_t word = 0;
    __builtin_memcpy(&word, p + i, sizeof(word));
    low.v[i] = widen(word & 0xFFFFU);
    high.v[i] = widen(word >> 16U);
  }
}
/// a * b + c = r for numbers that are not denormal, r being tiny. The processor calls a result tiny
/// if it lies below 2^-126 once rounded to 24 bits at any exponent; r = 2^-126 may have come up
/// from there.
inline float flush_chain(float a, float b, float c, float r) {
  if (!(__builtin_fabsf(r) <= 0x1p-126F)) return r;
  const double exact = static_cast<double>(a) * static_cast<double>(b) + static_cast<double>(c);
  return __builtin_fabs(exact) < 0x1p-126 - 0x1p-151 ? __builtin_copysignf(0.0F, r) : r;
}
SJD_ALWAYS_INLINE Lanes chain(Lanes a, Lanes b, Lanes c) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
  std::uint32_t tiny = 0;  // whether some 0 < |r| <= 2^-126; a loop that compilers can vectorize
  for (int i = 0; i < 16; ++i) {
    tiny |= (std::bit_cast<std::uint32_t>(r.v[i]) << 1U) - 1U < 0x0100'0000U ? 1U : 0U;
  }
  if (tiny == 0) return r;
  for (int i = 0; i < 16; ++i) r.v[i] = flush_chain(a.v[i], b.v[i], c.v[i], r.v[i]);
  return r;
}
/// A sum of floats that is tiny is exact.
SJD_ALWAYS_INLINE Lanes flushed_add(Lanes a, Lanes b) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = flush(flush(a.v[i]) + flush(b.v[i]));
  return r;
}

}  // namespace scalar

#if SJD_X86
/// Denormals are zeros, ties to even, no exceptions, until the scope ends. The arithmetic must
/// stand in a function that is not inlined: compilers move it past a change of the mode.
class FlushScope {
 public:
  FlushScope() { _mm_setcsr(0x9FC0U); }
  FlushScope(const FlushScope&) = delete;
  FlushScope& operator=(const FlushScope&) = delete;
  ~FlushScope() { _mm_setcsr(before_); }

 private:
  unsigned before_ = _mm_getcsr();
};

namespace avx2 {
using namespace lanes::avx2;

#define SJD_LANE SJD_ALWAYS_INLINE SJD_AVX2
SJD_LANE __m256i round_half(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i up = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(up, _mm256_set1_epi32(1));
  const __m256i bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, bias), 16);
  const __m256i quiet = _mm256_or_si256(up, _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i exponent = _mm256_and_si256(bits, _mm256_set1_epi32(0x7F800000));
  const __m256i tiny = _mm256_cmpeq_epi32(exponent, _mm256_setzero_si256());
  const __m256i sign = _mm256_and_si256(up, _mm256_set1_epi32(0x8000));
  return _mm256_blendv_epi8(_mm256_blendv_epi8(rounded, quiet, nan), sign, tiny);
}
SJD_LANE void store_bf16(std::uint16_t* p, Lanes x) {
  const __m256i mixed = _mm256_packus_epi32(round_half(x.a), round_half(x.b));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(mixed, 0xD8));
}
SJD_LANE void load_halves(const std::uint32_t* p, Lanes& low, Lanes& high) {
  load_pair(p, low, high);
}
SJD_LANE void load_even_odd(const std::uint16_t* p, Lanes& even, Lanes& odd) {
  load_pair(reinterpret_cast<const std::uint32_t*>(p), even, odd);
}
SJD_LANE Lanes chain(Lanes x, Lanes y, Lanes z) {
  return fma(x, y, z);
}
SJD_LANE Lanes flushed_add(Lanes x, Lanes y) {
  return add(x, y);
}
#undef SJD_LANE

}  // namespace avx2

namespace avx512 {
using namespace lanes::avx512;

#define SJD_LANE SJD_ALWAYS_INLINE SJD_AVX512
SJD_LANE void store_bf16(std::uint16_t* p, Lanes x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i up = _mm512_maskz_srli_epi32(all, bits, 16);
  const __m512i odd = _mm512_and_si512(up, _mm512_set1_epi32(1));
  const __m512i bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
  const __m512i rounded = _mm512_maskz_srli_epi32(all, _mm512_add_epi32(bits, bias), 16);
  const __m512i quiet = _mm512_or_si512(up, _mm512_set1_epi32(0x40));
  const __m512i sign = _mm512_and_si512(up, _mm512_set1_epi32(0x8000));
  const __mmask16 nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  const __mmask16 tiny = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7F800000));
  __m512i result = _mm512_mask_mov_epi32(rounded, nan, quiet);
  result = _mm512_mask_mov_epi32(result, tiny, sign);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_maskz_cvtepi32_epi16(all, result));
}
SJD_LANE void load_halves(const std::uint32_t* p, Lanes& low, Lanes& high) {
  load_pair(p, low, high);
}
SJD_LANE void load_even_odd(const std::uint16_t* p, Lanes& even, Lanes& odd) {
  load_pair(reinterpret_cast<const std::uint32_t*>(p), even, odd);
}
SJD_LANE Lanes chain(Lanes x, Lanes y, Lanes z) {
  return fma(x, y, z);
}
SJD_LANE Lanes flushed_add(Lanes x, Lanes y) {
  return add(x, y);
}
#undef SJD_LANE

}  // namespace avx512
#endif

}  // namespace sjd::hosts::detail
