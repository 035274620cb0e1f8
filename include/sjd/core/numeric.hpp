// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "sjd/core/config.hpp"

namespace sjd {

/// a * b, rounded on its own: -ffp-contract may not fuse it with an addition behind it.
SJD_HOST_DEVICE inline float rounded_product(float a, float b) {
  return std::fmaf(a, b, 0.0F);
}

/// Coefficients of a polynomial, highest power first; what CPU lanes and CUDA threads share. Shared
/// functions copy them into a constant of their own: device code cannot name a host's array.
template <std::size_t N>
struct Terms {
  float of[N];
};

/// 2^f on [-1/2, 1/2]: ln(2)^n / n!.
inline constexpr Terms<7> exp2_terms{{1.5403530e-4F, 1.3333558e-3F, 9.6181291e-3F, 5.5504109e-2F,
                                      2.4022651e-1F, 6.9314718e-1F, 1.0F}};
/// 2 atanh(s) / s over s^2.
inline constexpr Terms<5> atanh_terms{{2.2222222e-1F, 2.8571429e-1F, 4.0e-1F, 6.6666667e-1F, 2.0F}};
/// erfinv(x) / x over w - 2.5 and over sqrt(w) - 3, w = -log(1 - x^2) below and from 5 on.
///
/// source  Giles, "Approximating the erfinv function" (single precision version)
inline constexpr Terms<9> erfinv_centre_terms{{2.81022636e-08F, 3.43273939e-07F, -3.5233877e-06F,
                                               -4.39150654e-06F, 0.00021858087F, -0.00125372503F,
                                               -0.00417768164F, 0.246640727F, 1.50140941F}};
inline constexpr Terms<9> erfinv_tail_terms{{-0.000200214257F, 0.000100950558F, 0.00134934322F,
                                             -0.00367342844F, 0.00573950773F, -0.0076224613F,
                                             0.00943887047F, 1.00167406F, 2.83297682F}};

/// A polynomial by one fma chain.
template <std::size_t N>
SJD_HOST_DEVICE inline float horner(const Terms<N>& terms, float x) {
  float p = terms.of[0];
  for (std::size_t i = 1; i < N; ++i) p = std::fmaf(p, x, terms.of[i]);
  return p;
}

/// 2^x for x <= 0 out of explicit fma only, so that every compiler, SIMD width and device gives the
/// same bits.
///
/// units   relative error below 3e-7; 0 from x = -125 down, so that nothing denormal comes up
SJD_HOST_DEVICE inline float exp2_nonpositive(float x) {
  if (!(x > -125.0F)) return 0.0F;
  const float whole = std::nearbyintf(x);
  const float f = x - whole;
  const auto exponent = static_cast<std::uint32_t>(static_cast<std::int32_t>(whole) + 127) << 23;
  constexpr Terms terms = exp2_terms;
  return horner(terms, f) * std::bit_cast<float>(exponent);
}

/// e^x for x <= 0; see exp2_nonpositive.
SJD_HOST_DEVICE inline float exp_nonpositive(float x) {
  return exp2_nonpositive(rounded_product(x, 1.44269504F));
}

/// Natural logarithm of a positive normal float by explicit fma; relative error below 2e-6 away
/// from 1.
///
/// source  log(m) = 2 atanh((m-1)/(m+1)) with m in [sqrt(1/2), sqrt(2))
SJD_HOST_DEVICE inline float log_positive(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  std::int32_t exponent = static_cast<std::int32_t>(bits >> 23) - 127;
  float m = std::bit_cast<float>((bits & 0x007FFFFFU) | 0x3F800000U);
  if (m > 1.41421356F) {
    m *= 0.5F;
    exponent += 1;
  }
  constexpr Terms terms = atanh_terms;
  const float s = (m - 1.0F) / (m + 1.0F);
  return std::fmaf(static_cast<float>(exponent), 6.9314718e-1F, s * horner(terms, s * s));
}

/// Exponential variate -log(1 - v), v = (word + 1/2) / 2^32, exact to float precision at both ends:
/// short times keep their relative precision, so that a token of probability 2^-30 wins a race as
/// often as it should.
SJD_HOST_DEVICE inline float exponential_variate(std::uint32_t word) {
  constexpr float unit = 2.3283064e-10F;  // 2^-32
  constexpr float half = 1.1641532e-10F;  // 2^-33
  if (word >= 0x80000000U) {
    return -log_positive(std::fmaf(static_cast<float>(~word), unit, half));
  }
  const float v = std::fmaf(static_cast<float>(word), unit, half);
  const float s = v / (2.0F - v);
  constexpr Terms terms = atanh_terms;
  return s * horner(terms, s * s);
}

/// Standard normal quantile of a probability in (0, 1), by fma polynomials on both back ends.
///
/// units   absolute error below 5e-4 over the range that 24-bit uniforms reach
/// source  sqrt(2) erfinv(2 probability - 1)
SJD_HOST_DEVICE inline float normal_quantile(float probability) {
  const float x = std::fmaf(2.0F, probability, -1.0F);
  const float w = -log_positive(std::fmaf(-x, x, 1.0F));
  constexpr Terms centre = erfinv_centre_terms;
  constexpr Terms tail = erfinv_tail_terms;
  const float p = w < 5.0F ? horner(centre, w - 2.5F) : horner(tail, std::sqrt(w) - 3.0F);
  return 1.41421356F * p * x;
}

/// Standard normal variate of a random word; both ends of (0, 1) are left out.
SJD_HOST_DEVICE inline float standard_normal(std::uint32_t word) {
  return normal_quantile(std::fmaf(static_cast<float>(word >> 9), 1.1920929e-7F, 5.9604645e-8F));
}

}  // namespace sjd
