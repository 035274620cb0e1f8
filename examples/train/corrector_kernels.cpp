// SPDX-License-Identifier: Apache-2.0
#include "corrector_kernels.hpp"

#include <algorithm>
#include <cmath>

#include "corrector_trace.hpp"
#include "kernel_math.hpp"

namespace sjd::train {
namespace {

inline float silu(float x) {
  return x * sigmoid(x);
}

inline float silu_slope(float x) {
  const float s = sigmoid(x);
  return s * (1.0F + x * (1.0F - s));
}

}  // namespace

void add_tables(const Bf16* product, const Bf16* tokens, const float* table, TableRows rows,
                std::int64_t examples, std::int64_t width, float* u, Bf16* x_rounded) {
  for (std::int64_t e = 0; e < examples; ++e) {
    float* __restrict sum = u + e * width;
    const Bf16* __restrict in = product + e * width;
    const Bf16* __restrict more = tokens + e * width;
    for (std::int64_t j = 0; j < width; ++j) sum[j] = widen(in[j]) + widen(more[j]);
    for (std::int64_t k = 0; k < rows.stride; ++k) {
      const std::int64_t row = rows.rows[e * rows.stride + k];
      if (row < 0) continue;
      const float* __restrict source = table + row * width;
      for (std::int64_t j = 0; j < width; ++j) sum[j] += source[j];
    }
    Bf16* __restrict out = x_rounded + e * width;
    for (std::int64_t j = 0; j < width; ++j) out[j] = narrow(silu(sum[j]));
  }
}

void residual(const Bf16* product, const float* bias, const float* u, std::int64_t examples,
              std::int64_t width, float* v, Bf16* y) {
  for (std::int64_t e = 0; e < examples; ++e) {
    const Bf16* __restrict in = product + e * width;
    const float* __restrict before = u + e * width;
    float* __restrict inner = v + e * width;
    Bf16* __restrict out = y + e * width;
    for (std::int64_t j = 0; j < width; ++j) {
      inner[j] = widen(in[j]) + bias[j];
      out[j] = narrow(silu(before[j]) + silu(inner[j]));
    }
  }
}

void drop(Dropout dropout, std::span<Bf16> inout) {
  if (dropout.rate <= 0.0F) return;
  const Keep keep{dropout};
  Bf16* __restrict values = inout.data();
  const auto size = static_cast<std::uint32_t>(inout.size());
  for (std::uint32_t i = 0; i < size; ++i) values[i] = narrow(widen(values[i]) * keep(i));
}

void residual_backward(const Bf16* dy, const float* v, std::int64_t examples, std::int64_t width,
                       Bf16* dv, float* dbias) {
  for (std::int64_t e = 0; e < examples; ++e) {
    const Bf16* __restrict in = dy + e * width;
    const float* __restrict inner = v + e * width;
    Bf16* __restrict out = dv + e * width;
    for (std::int64_t j = 0; j < width; ++j) {
      const float slope = widen(in[j]) * silu_slope(inner[j]);
      out[j] = narrow(slope);
      dbias[j] += slope;
    }
  }
}

void add_tables_backward(const Bf16* dy, const Bf16* dx, const float* u, TableRows rows,
                         std::int64_t examples, std::int64_t width, Bf16* du, float* dtable) {
  for (std::int64_t e = 0; e < examples; ++e) {
    const Bf16* __restrict direct = dy + e * width;
    const Bf16* __restrict inner = dx + e * width;
    const float* __restrict value = u + e * width;
    Bf16* __restrict out = du + e * width;
    for (std::int64_t j = 0; j < width; ++j) {
      out[j] = narrow((widen(direct[j]) + widen(inner[j])) * silu_slope(value[j]));
    }
    for (std::int64_t k = 0; k < rows.stride; ++k) {
      const std::int64_t row = rows.rows[e * rows.stride + k];
      if (row < 0) continue;
      float* __restrict sum = dtable + row * width;
      for (std::int64_t j = 0; j < width; ++j) sum[j] += widen(out[j]);
    }
  }
}

LawLoss law_loss(const std::int16_t* logits, const Bf16* target, std::int64_t vocab, float weight,
                 float entropy_share, Bf16* inout_change, float* scratch) {
  float* __restrict p = scratch;
  Bf16* __restrict change = inout_change;
  float top = -1e30F;
#pragma omp simd reduction(max : top)
  for (std::int64_t v = 0; v < vocab; ++v) {
    p[v] = static_cast<float>(logits[v]) * logit_step + widen(change[v]);
    top = std::max(top, p[v]);
  }
  float sum = 0.0F;
  float mean = 0.0F;  // of the shifted logits under the target
  float total = 0.0F;
#pragma omp simd reduction(+ : sum, mean, total)
  for (std::int64_t v = 0; v < vocab; ++v) {
    const float below = p[v] - top;
    mean += widen(target[v]) * below;
    total += widen(target[v]);
    p[v] = quick_exp(below);
    sum += p[v];
  }
  const float inverse = 1.0F / sum;
  float distance = 0.0F;
  float signed_sum = 0.0F;
#pragma omp simd reduction(+ : distance, signed_sum)
  for (std::int64_t v = 0; v < vocab; ++v) {
    p[v] *= inverse;
    const float gap = p[v] - widen(target[v]);
    distance += std::fabs(gap);
    signed_sum += gap > 0.0F ? p[v] : -p[v];
  }
  if (weight != 0.0F) {
#pragma GCC ivdep
    for (std::int64_t v = 0; v < vocab; ++v) {
      const float gap = p[v] - widen(target[v]);
      const float sign = gap > 0.0F ? 1.0F : -1.0F;
      change[v] = narrow(weight * (0.5F * p[v] * (sign - signed_sum) + entropy_share * gap));
    }
  }
  return {0.5F * distance, total * std::log(sum) - mean};
}

void adam_rounded(const AdamStep& step, float decay, std::int64_t count, const Bf16* gradient,
                  float* weight, float* first, float* second, Bf16* rounded) {
  float* __restrict w = weight;
  float* __restrict m = first;
  float* __restrict s = second;
  const float shrink = 1.0F - step.rate * decay;
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = widen(gradient[i]);
    m[i] = step.beta1 * m[i] + (1.0F - step.beta1) * g;
    s[i] = step.beta2 * s[i] + (1.0F - step.beta2) * g * g;
    const float scale = std::sqrt(s[i] / step.correction2) + step.epsilon;
    w[i] = shrink * w[i] - step.rate * (m[i] / step.correction1) / scale;
    rounded[i] = narrow(w[i]);
  }
}

void adam_row(const AdamStep& step, std::int64_t count, float* inout_gradient, float* weight,
              float* first, float* second) {
  float* __restrict g = inout_gradient;
  float* __restrict w = weight;
  float* __restrict m = first;
  float* __restrict s = second;
  for (std::int64_t i = 0; i < count; ++i) {
    m[i] = step.beta1 * m[i] + (1.0F - step.beta1) * g[i];
    s[i] = step.beta2 * s[i] + (1.0F - step.beta2) * g[i] * g[i];
    const float scale = std::sqrt(s[i] / step.correction2) + step.epsilon;
    w[i] -= step.rate * (m[i] / step.correction1) / scale;
    g[i] = 0.0F;
  }
}

}  // namespace sjd::train
