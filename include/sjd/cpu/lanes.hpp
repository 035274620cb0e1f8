// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

#if defined(__x86_64__)
#define SJD_X86 1
#include <immintrin.h>
#else
#define SJD_X86 0
#endif

#define SJD_AVX2 __attribute__((target("avx2,fma,f16c,popcnt")))
#define SJD_AVX512 __attribute__((target("avx512f,avx2,fma,popcnt")))
#define SJD_ALWAYS_INLINE inline __attribute__((always_inline))

// Register blocks are unrolled, except under a sanitizer: its checks would make them huge.
#if defined(__has_feature)
#define SJD_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SJD_SANITIZED 1
#else
#define SJD_SANITIZED 0
#endif
#if SJD_SANITIZED
#define SJD_UNROLL
#elif defined(__clang__)
#define SJD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SJD_UNROLL _Pragma("GCC unroll 32")
#endif

/// Sixteen floats, in three instruction sets with one meaning: every operation is the IEEE one of
/// each lane, and fma rounds once. Code written over Lanes gives the same bits in all three.
///
/// - `select_equal(a, b, x, y)`, `select_below`: x where a == b, a < b, else y; a NaN is neither
/// - `all_below(a, b)`: a < b in every lane
/// - `mass_words(a)`: a, cut to an integer; 0 <= a <= 2^31 in every lane
namespace sjd::lanes {

/// Instruction sets with a kernel of their own; all give the same bits. `amx` is avx512 with tiles
/// for the host's products of bf16 numbers.
enum class InstructionSet : std::uint8_t { scalar, avx2, avx512, amx };

namespace scalar {

inline constexpr int row_block = 3;

struct Lanes {
  float v[16];
};

#define SJD_EACH_LANE(expression)                     \
  Lanes r;                                            \
  for (int i = 0; i < 16; ++i) r.v[i] = (expression); \
  return r

SJD_ALWAYS_INLINE Lanes broadcast(float x) {
  SJD_EACH_LANE(x);
}
SJD_ALWAYS_INLINE Lanes load(const float* p) {
  SJD_EACH_LANE(p[i]);
}
SJD_ALWAYS_INLINE void store(float* p, Lanes a) {
  for (int i = 0; i < 16; ++i) p[i] = a.v[i];
}
SJD_ALWAYS_INLINE Lanes fma(Lanes a, Lanes b, Lanes c) {
  SJD_EACH_LANE(__builtin_fmaf(a.v[i], b.v[i], c.v[i]));
}
SJD_ALWAYS_INLINE Lanes add(Lanes a, Lanes b) {
  SJD_EACH_LANE(a.v[i] + b.v[i]);
}
SJD_ALWAYS_INLINE Lanes sub(Lanes a, Lanes b) {
  SJD_EACH_LANE(a.v[i] - b.v[i]);
}
SJD_ALWAYS_INLINE Lanes mul(Lanes a, Lanes b) {
  SJD_EACH_LANE(a.v[i] * b.v[i]);
}
SJD_ALWAYS_INLINE Lanes div(Lanes a, Lanes b) {
  SJD_EACH_LANE(a.v[i] / b.v[i]);
}
SJD_ALWAYS_INLINE Lanes sqrt(Lanes a) {
  SJD_EACH_LANE(__builtin_sqrtf(a.v[i]));
}
SJD_ALWAYS_INLINE Lanes max(Lanes a, Lanes b) {
  SJD_EACH_LANE(a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
}
SJD_ALWAYS_INLINE Lanes min(Lanes a, Lanes b) {
  SJD_EACH_LANE(a.v[i] < b.v[i] ? a.v[i] : b.v[i]);
}
SJD_ALWAYS_INLINE Lanes select_equal(Lanes a, Lanes b, Lanes x, Lanes y) {
  SJD_EACH_LANE(a.v[i] == b.v[i] ? x.v[i] : y.v[i]);
}
SJD_ALWAYS_INLINE Lanes select_below(Lanes a, Lanes b, Lanes x, Lanes y) {
  SJD_EACH_LANE(a.v[i] < b.v[i] ? x.v[i] : y.v[i]);
}
SJD_ALWAYS_INLINE bool all_below(Lanes a, Lanes b) {
  bool below = true;
  for (int i = 0; i < 16; ++i) below &= a.v[i] < b.v[i];
  return below;
}
struct Words {
  std::uint32_t v[16];
};
SJD_ALWAYS_INLINE Words mass_words(Lanes a) {
  Words r;
  for (int i = 0; i < 16; ++i) r.v[i] = static_cast<std::uint32_t>(a.v[i]);
  return r;
}
/// Sum of the sixteen lanes as one fixed tree: halves of 8, of 4, of 2, of 1.
SJD_ALWAYS_INLINE float sum_lanes(Lanes a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.v[i] += a.v[i + half];
  }
  return a.v[0];
}
SJD_ALWAYS_INLINE float max_lanes(Lanes a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.v[i] = a.v[i] > a.v[i + half] ? a.v[i] : a.v[i + half];
  }
  return a.v[0];
}
/// a * 2^n for n held in the low bits of `n` (see exp_lanes); no overflow into inf or denormals.
SJD_ALWAYS_INLINE Lanes scale_exponent(Lanes a, Lanes n) {
  SJD_EACH_LANE(std::bit_cast<float>(std::bit_cast<std::uint32_t>(a.v[i]) +
                                     (std::bit_cast<std::uint32_t>(n.v[i]) << 23)));
}
SJD_ALWAYS_INLINE void load_pair(const float* p, Lanes& low, Lanes& high) {
  low = load(p);
  high = load(p + 16);
}
SJD_ALWAYS_INLINE void load_pair(const std::uint32_t* p, Lanes& low, Lanes& high) {
  for (int i = 0; i < 16; ++i) {
    low.v[i] = std::bit_cast<float>(p[i] << 16);
    high.v[i] = std::bit_cast<float>(p[i] & 0xFFFF0000U);
  }
}
#undef SJD_EACH_LANE

}  // namespace scalar

#if SJD_X86
namespace avx2 {

inline constexpr int row_block = 3;

struct Lanes {
  __m256 a, b;
};

#define SJD_LANE SJD_ALWAYS_INLINE SJD_AVX2
SJD_LANE Lanes broadcast(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
SJD_LANE Lanes load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
SJD_LANE void store(float* p, Lanes x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
SJD_LANE Lanes fma(Lanes x, Lanes y, Lanes z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
SJD_LANE Lanes add(Lanes x, Lanes y) {
  return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
SJD_LANE Lanes sub(Lanes x, Lanes y) {
  return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
SJD_LANE Lanes mul(Lanes x, Lanes y) {
  return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
SJD_LANE Lanes div(Lanes x, Lanes y) {
  return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
SJD_LANE Lanes sqrt(Lanes x) {
  return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)};
}
SJD_LANE Lanes max(Lanes x, Lanes y) {
  return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
SJD_LANE Lanes min(Lanes x, Lanes y) {
  return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
SJD_LANE Lanes select_equal(Lanes x, Lanes y, Lanes yes, Lanes no) {
  return {_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_EQ_OQ)),
          _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_EQ_OQ))};
}
SJD_LANE Lanes select_below(Lanes x, Lanes y, Lanes yes, Lanes no) {
  return {_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
          _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
}
SJD_LANE bool all_below(Lanes x, Lanes y) {
  const __m256 low = _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ);
  const __m256 high = _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ);
  return _mm256_movemask_ps(_mm256_and_ps(low, high)) == 0xFF;
}
struct Words {
  __m256i a, b;
};
// A conversion to signed integers turns 2^31 into the very bits of 2^31 without sign.
SJD_LANE Words mass_words(Lanes x) {
  return {_mm256_cvttps_epi32(x.a), _mm256_cvttps_epi32(x.b)};
}
SJD_LANE float sum_lanes(Lanes x) {
  const __m256 eight = _mm256_add_ps(x.a, x.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
SJD_LANE float max_lanes(Lanes x) {
  const __m256 eight = _mm256_max_ps(x.a, x.b);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
SJD_LANE __m256 scale_half(__m256 x, __m256 n) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_castps_si256(n), 23)));
}
SJD_LANE Lanes scale_exponent(Lanes x, Lanes n) {
  return {scale_half(x.a, n.a), scale_half(x.b, n.b)};
}
SJD_LANE void load_pair(const float* p, Lanes& low, Lanes& high) {
  low = load(p);
  high = load(p + 16);
}
SJD_LANE void load_pair(const std::uint32_t* p, Lanes& low, Lanes& high) {
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xFFFF0000U));
  const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8));
  low.a = _mm256_castsi256_ps(_mm256_slli_epi32(first, 16));
  low.b = _mm256_castsi256_ps(_mm256_slli_epi32(second, 16));
  high.a = _mm256_castsi256_ps(_mm256_and_si256(first, mask));
  high.b = _mm256_castsi256_ps(_mm256_and_si256(second, mask));
}
#undef SJD_LANE

}  // namespace avx2

namespace avx512 {

inline constexpr int row_block = 12;

// g++ 12 warns about the unmasked forms of max, min and shift (their headers read an undefined
// vector); with a full mask it emits the same instructions.
inline constexpr __mmask16 all = 0xFFFF;

struct Lanes {
  __m512 v;
};

#define SJD_LANE SJD_ALWAYS_INLINE SJD_AVX512
SJD_LANE Lanes broadcast(float x) {
  return {_mm512_set1_ps(x)};
}
SJD_LANE Lanes load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
SJD_LANE void store(float* p, Lanes x) {
  _mm512_storeu_ps(p, x.v);
}
SJD_LANE Lanes fma(Lanes x, Lanes y, Lanes z) {
  return {_mm512_fmadd_ps(x.v, y.v, z.v)};
}
SJD_LANE Lanes add(Lanes x, Lanes y) {
  return {_mm512_add_ps(x.v, y.v)};
}
SJD_LANE Lanes sub(Lanes x, Lanes y) {
  return {_mm512_sub_ps(x.v, y.v)};
}
SJD_LANE Lanes mul(Lanes x, Lanes y) {
  return {_mm512_mul_ps(x.v, y.v)};
}
SJD_LANE Lanes div(Lanes x, Lanes y) {
  return {_mm512_div_ps(x.v, y.v)};
}
SJD_LANE Lanes sqrt(Lanes x) {
  return {_mm512_maskz_sqrt_ps(all, x.v)};
}
SJD_LANE Lanes max(Lanes x, Lanes y) {
  return {_mm512_maskz_max_ps(all, x.v, y.v)};
}
SJD_LANE Lanes min(Lanes x, Lanes y) {
  return {_mm512_maskz_min_ps(all, x.v, y.v)};
}
SJD_LANE Lanes select_equal(Lanes x, Lanes y, Lanes yes, Lanes no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, y.v, _CMP_EQ_OQ), no.v, yes.v)};
}
SJD_LANE Lanes select_below(Lanes x, Lanes y, Lanes yes, Lanes no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, y.v, _CMP_LT_OQ), no.v, yes.v)};
}
SJD_LANE bool all_below(Lanes x, Lanes y) {
  return _mm512_cmp_ps_mask(x.v, y.v, _CMP_LT_OQ) == all;
}
struct Words {
  __m512i v;
};
SJD_LANE Words mass_words(Lanes x) {
  return {_mm512_maskz_cvttps_epu32(all, x.v)};
}
template <int Index>
SJD_LANE __m256 half_of(Lanes x) {
  return _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xF, _mm512_castps_pd(x.v), Index));
}
SJD_LANE float sum_lanes(Lanes x) {
  const __m256 eight = _mm256_add_ps(half_of<0>(x), half_of<1>(x));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
SJD_LANE float max_lanes(Lanes x) {
  const __m256 eight = _mm256_max_ps(half_of<0>(x), half_of<1>(x));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
SJD_LANE Lanes scale_exponent(Lanes x, Lanes n) {
  return {_mm512_castsi512_ps(_mm512_add_epi32(
      _mm512_castps_si512(x.v), _mm512_maskz_slli_epi32(all, _mm512_castps_si512(n.v), 23)))};
}
SJD_LANE void load_pair(const float* p, Lanes& low, Lanes& high) {
  low = load(p);
  high = load(p + 16);
}
SJD_LANE void load_pair(const std::uint32_t* p, Lanes& low, Lanes& high) {
  const __m512i pair = _mm512_loadu_si512(p);
  low.v = _mm512_castsi512_ps(_mm512_maskz_slli_epi32(all, pair, 16));
  high.v =
      _mm512_castsi512_ps(_mm512_and_si512(pair, _mm512_set1_epi32(static_cast<int>(0xFFFF0000U))));
}
#undef SJD_LANE

}  // namespace avx512
#endif

}  // namespace sjd::lanes
