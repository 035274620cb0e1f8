// SPDX-License-Identifier: Apache-2.0
#include "kernels.hpp"

#include <pmmintrin.h>
#include <xmmintrin.h>

#include <cmath>

#include "kernel_math.hpp"

namespace sjd::train {

void flush_denormals() {
  _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
  _MM_SET_DENORMALS_ZERO_MODE(_MM_DENORMALS_ZERO_ON);
}

void round_to_bf16(std::span<const float> in, std::span<Bf16> out) {
  const float* __restrict source = in.data();
  Bf16* __restrict target = out.data();
  for (std::size_t i = 0; i < in.size(); ++i) target[i] = narrow(source[i]);
}

void accumulate(std::span<const Bf16> in, float* sum) {
  const Bf16* __restrict source = in.data();
  float* __restrict target = sum;
  for (std::size_t i = 0; i < in.size(); ++i) target[i] += widen(source[i]);
}

double squared_norm(std::span<const float> values) {
  double total = 0.0;
  constexpr std::size_t chunk = 4096;
  for (std::size_t begin = 0; begin < values.size(); begin += chunk) {
    const std::size_t end = std::min(begin + chunk, values.size());
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (std::size_t i = begin; i < end; ++i) sum += values[i] * values[i];
    total += sum;
  }
  return total;
}

void add_norm(const float* h, const Bf16* branch, const Bf16* weight, std::int64_t rows,
              std::int64_t width, float epsilon, Dropout dropout, float* h_next, Bf16* normed,
              float* inverse) {
  const Keep keep{dropout};
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* in = h + r * width;
    float* out = h_next + r * width;
    const auto index = static_cast<std::uint32_t>(r * width);
    if (branch != nullptr) {
      const Bf16* __restrict b = branch + r * width;
#pragma GCC ivdep
      for (std::int64_t j = 0; j < width; ++j) {
        out[j] = in[j] + keep(index + static_cast<std::uint32_t>(j)) * widen(b[j]);
      }
    } else {
#pragma GCC ivdep
      for (std::int64_t j = 0; j < width; ++j) {
        out[j] = in[j] * keep(index + static_cast<std::uint32_t>(j));
      }
    }
    float square = 0.0F;
#pragma omp simd reduction(+ : square)
    for (std::int64_t j = 0; j < width; ++j) square += out[j] * out[j];
    const float scale = 1.0F / std::sqrt(square / static_cast<float>(width) + epsilon);
    inverse[r] = scale;
    Bf16* __restrict target = normed + r * width;
#pragma GCC ivdep
    for (std::int64_t j = 0; j < width; ++j) target[j] = narrow(out[j] * scale * widen(weight[j]));
  }
}

void add_norm_backward(const Bf16* dnormed, const float* h_next, const float* inverse,
                       const Bf16* weight, std::int64_t rows, std::int64_t width, Dropout dropout,
                       float* dh, float* dweight, Bf16* dbranch) {
  const Keep keep{dropout};
  for (std::int64_t r = 0; r < rows; ++r) {
    const Bf16* __restrict d = dnormed + r * width;
    const float* __restrict x = h_next + r * width;
    float* __restrict g = dh + r * width;
    float* __restrict dw = dweight;
    const float scale = inverse[r];
    float dot = 0.0F;
#pragma omp simd reduction(+ : dot)
    for (std::int64_t j = 0; j < width; ++j) {
      const float contribution = widen(d[j]) * x[j] * scale;
      dw[j] += contribution;
      dot += contribution * widen(weight[j]);
    }
    const float mean = dot / static_cast<float>(width) * scale;
#pragma GCC ivdep
    for (std::int64_t j = 0; j < width; ++j) {
      g[j] += scale * (widen(d[j]) * widen(weight[j]) - x[j] * mean);
    }
    if (dbranch == nullptr) continue;
    Bf16* __restrict out = dbranch + r * width;
    const auto index = static_cast<std::uint32_t>(r * width);
#pragma GCC ivdep
    for (std::int64_t j = 0; j < width; ++j) {
      out[j] = narrow(g[j] * keep(index + static_cast<std::uint32_t>(j)));
    }
  }
}

void swiglu(const Bf16* gate_up, std::int64_t rows, std::int64_t width, Bf16* out) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const Bf16* __restrict gate = gate_up + r * 2 * width;
    const Bf16* __restrict up = gate + width;
    Bf16* __restrict target = out + r * width;
#pragma GCC ivdep
    for (std::int64_t j = 0; j < width; ++j) {
      const float g = widen(gate[j]);
      target[j] = narrow(g * sigmoid(g) * widen(up[j]));
    }
  }
}

void swiglu_backward(const Bf16* dout, std::int64_t rows, std::int64_t width, Bf16* inout_gate_up) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const Bf16* __restrict d = dout + r * width;
    Bf16* __restrict gate = inout_gate_up + r * 2 * width;
    Bf16* __restrict up = gate + width;
#pragma GCC ivdep
    for (std::int64_t j = 0; j < width; ++j) {
      const float g = widen(gate[j]);
      const float s = sigmoid(g);
      const float dj = widen(d[j]);
      const float dgate = dj * widen(up[j]) * s * (1.0F + g * (1.0F - s));
      up[j] = narrow(dj * g * s);
      gate[j] = narrow(dgate);
    }
  }
}

void cross_entropy(Bf16* inout_logits, const std::int32_t* targets, const float* weights,
                   std::int64_t rows, std::int64_t classes, bool keep_logits, float* losses) {
  for (std::int64_t r = 0; r < rows; ++r) {
    Bf16* row = inout_logits + r * classes;
    float top = widen(row[0]);
#pragma omp simd reduction(max : top)
    for (std::int64_t j = 0; j < classes; ++j) top = widen(row[j]) > top ? widen(row[j]) : top;
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t j = 0; j < classes; ++j) sum += quick_exp(widen(row[j]) - top);
    losses[r] = std::log(sum) + top - widen(row[targets[r]]);
    if (keep_logits) continue;
    const float scale = weights[r] / sum;
    const float at_target = scale * quick_exp(widen(row[targets[r]]) - top) - weights[r];
#pragma GCC ivdep
    for (std::int64_t j = 0; j < classes; ++j)
      row[j] = narrow(scale * quick_exp(widen(row[j]) - top));
    row[targets[r]] = narrow(at_target);
  }
}

void adam_update(const AdamStep& step, float weight_decay, std::int64_t count,
                 const float* gradient, float* weight, float* first, float* second, float* average,
                 Bf16* rounded) {
  const float* __restrict g = gradient;
  float* __restrict w = weight;
  float* __restrict m = first;
  float* __restrict v = second;
  float* __restrict ema = average;
  Bf16* __restrict half = rounded;
  for (std::int64_t i = 0; i < count; ++i) {
    const float d = g[i] * step.gradient_scale;
    m[i] = step.beta1 * m[i] + (1.0F - step.beta1) * d;
    v[i] = step.beta2 * v[i] + (1.0F - step.beta2) * d * d;
    const float change =
        (m[i] / step.correction1) / (std::sqrt(v[i] / step.correction2) + step.epsilon);
    w[i] -= step.rate * (change + weight_decay * w[i]);
    ema[i] += (1.0F - step.average_decay) * (w[i] - ema[i]);
    half[i] = narrow(w[i]);
  }
}

}  // namespace sjd::train
