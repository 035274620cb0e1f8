// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "sjd/core/config.hpp"

namespace sjd {

/// a * b, rounded on its own: -ffp-contract may not fuse it with an addition behind it.
SJD_HOST_DEVICE inline float rounded_product(float a, float b) {
  return std::fmaf(a, b, 0.0F);
}

/// 2^x for x <= 0 out of explicit fma only, so that every compiler, SIMD width and device gives the
/// same bits.
///
/// units   relative error below 3e-7; flushes to 0 below x = -126
/// source  degree-6 polynomial of 2^f on [-1/2, 1/2], coefficients ln(2)^n / n!
SJD_HOST_DEVICE inline float exp2_nonpositive(float x) {
  if (!(x > -126.0F)) return 0.0F;
  const float whole = std::nearbyintf(x);
  const float f = x - whole;
  float p = 1.5403530e-4F;
  p = std::fmaf(p, f, 1.3333558e-3F);
  p = std::fmaf(p, f, 9.6181291e-3F);
  p = std::fmaf(p, f, 5.5504109e-2F);
  p = std::fmaf(p, f, 2.4022651e-1F);
  p = std::fmaf(p, f, 6.9314718e-1F);
  p = std::fmaf(p, f, 1.0F);
  const auto exponent = static_cast<std::uint32_t>(static_cast<std::int32_t>(whole) + 127) << 23;
  return p * std::bit_cast<float>(exponent);
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
  const float s = (m - 1.0F) / (m + 1.0F);
  const float t = s * s;
  float p = 2.2222222e-1F;
  p = std::fmaf(p, t, 2.8571429e-1F);
  p = std::fmaf(p, t, 4.0e-1F);
  p = std::fmaf(p, t, 6.6666667e-1F);
  p = std::fmaf(p, t, 2.0F);
  return std::fmaf(static_cast<float>(exponent), 6.9314718e-1F, s * p);
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
  const float t = s * s;
  float p = 2.2222222e-1F;
  p = std::fmaf(p, t, 2.8571429e-1F);
  p = std::fmaf(p, t, 4.0e-1F);
  p = std::fmaf(p, t, 6.6666667e-1F);
  p = std::fmaf(p, t, 2.0F);
  return s * p;
}

/// Standard normal quantile of a probability in (0, 1), by fma polynomials on both back ends.
///
/// units   absolute error below 5e-4 over the range that 24-bit uniforms reach
/// source  Giles, "Approximating the erfinv function" (single precision version), scaled by sqrt(2)
SJD_HOST_DEVICE inline float normal_quantile(float probability) {
  const float x = std::fmaf(2.0F, probability, -1.0F);
  float w = -log_positive(std::fmaf(-x, x, 1.0F));
  float p = 0.0F;
  if (w < 5.0F) {
    w -= 2.5F;
    p = 2.81022636e-08F;
    p = std::fmaf(p, w, 3.43273939e-07F);
    p = std::fmaf(p, w, -3.5233877e-06F);
    p = std::fmaf(p, w, -4.39150654e-06F);
    p = std::fmaf(p, w, 0.00021858087F);
    p = std::fmaf(p, w, -0.00125372503F);
    p = std::fmaf(p, w, -0.00417768164F);
    p = std::fmaf(p, w, 0.246640727F);
    p = std::fmaf(p, w, 1.50140941F);
  } else {
    w = std::sqrt(w) - 3.0F;
    p = -0.000200214257F;
    p = std::fmaf(p, w, 0.000100950558F);
    p = std::fmaf(p, w, 0.00134934322F);
    p = std::fmaf(p, w, -0.00367342844F);
    p = std::fmaf(p, w, 0.00573950773F);
    p = std::fmaf(p, w, -0.0076224613F);
    p = std::fmaf(p, w, 0.00943887047F);
    p = std::fmaf(p, w, 1.00167406F);
    p = std::fmaf(p, w, 2.83297682F);
  }
  return 1.41421356F * p * x;
}

}  // namespace sjd
