// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>

#include "kernel_math.hpp"
#include "kernels.hpp"

namespace sjd::train {
namespace {

constexpr std::int64_t widest_head = 256;

/// One head of one row: out = rotate(in * inverse * weight); returns inverse = 1/rms(in), 1 without
/// norm.
float norm_and_rotate(const AttentionShape& shape, const Bf16* __restrict in,
                      const Bf16* __restrict weight, const float* __restrict cosine,
                      const float* __restrict sine, Bf16* __restrict out) {
  const std::int64_t half = shape.head_dim / 2;
  float inverse = 1.0F;
  if (shape.qk_norm) {
    float square = 0.0F;
#pragma omp simd reduction(+ : square)
    for (std::int64_t j = 0; j < shape.head_dim; ++j) square += widen(in[j]) * widen(in[j]);
    inverse = 1.0F / std::sqrt(square / static_cast<float>(shape.head_dim) + shape.epsilon);
  }
#pragma GCC ivdep
  for (std::int64_t j = 0; j < half; ++j) {
    const float a = widen(in[j]) * inverse * widen(weight[j]);
    const float b = widen(in[j + half]) * inverse * widen(weight[j + half]);
    out[j] = narrow(a * cosine[j] - b * sine[j]);
    out[j + half] = narrow(b * cosine[j] + a * sine[j]);
  }
  return inverse;
}

void norm_and_rotate_backward(const AttentionShape& shape, const Bf16* __restrict in, float inverse,
                              const Bf16* __restrict weight, const float* __restrict cosine,
                              const float* __restrict sine, const Bf16* __restrict dout,
                              Bf16* __restrict din, float* __restrict dweight) {
  const std::int64_t half = shape.head_dim / 2;
  std::array<float, widest_head> d{};  // gradient before the rotation
#pragma GCC ivdep
  for (std::int64_t j = 0; j < half; ++j) {
    const float a = widen(dout[j]);
    const float b = widen(dout[j + half]);
    d[j] = a * cosine[j] + b * sine[j];
    d[j + half] = b * cosine[j] - a * sine[j];
  }
  float mean = 0.0F;
  if (shape.qk_norm) {
    float dot = 0.0F;
#pragma omp simd reduction(+ : dot)
    for (std::int64_t j = 0; j < shape.head_dim; ++j) {
      const float contribution = d[j] * widen(in[j]) * inverse;
      dweight[j] += contribution;
      dot += contribution * widen(weight[j]);
    }
    mean = dot / static_cast<float>(shape.head_dim) * inverse;
  }
#pragma GCC ivdep
  for (std::int64_t j = 0; j < shape.head_dim; ++j) {
    din[j] = narrow(inverse * (d[j] * widen(weight[j]) - widen(in[j]) * mean));
  }
}

}  // namespace

void split_heads(const AttentionShape& shape, const Bf16* qkv, const Bf16* q_norm,
                 const Bf16* k_norm, const float* cosine, const float* sine, Bf16* q, Bf16* k,
                 Bf16* v, float* inverse) {
  const std::int64_t dim = shape.head_dim;
  const std::int64_t length = shape.length;
  for (std::int64_t row = 0; row < shape.rows(); ++row) {
    const std::int64_t sequence = row / length;
    const std::int64_t position = row % length;
    const Bf16* in = qkv + row * shape.qkv_width();
    const float* c = cosine + position * (dim / 2);
    const float* s = sine + position * (dim / 2);
    float* inv = inverse + row * (shape.heads + shape.kv_heads);
    for (std::int64_t n = 0; n < shape.heads; ++n, in += dim) {
      Bf16* out = q + ((sequence * shape.heads + n) * length + position) * dim;
      inv[n] = norm_and_rotate(shape, in, q_norm, c, s, out);
    }
    for (std::int64_t n = 0; n < shape.kv_heads; ++n, in += dim) {
      Bf16* out = k + ((sequence * shape.kv_heads + n) * length + position) * dim;
      inv[shape.heads + n] = norm_and_rotate(shape, in, k_norm, c, s, out);
    }
    for (std::int64_t n = 0; n < shape.kv_heads; ++n, in += dim) {
      std::copy_n(in, dim, v + ((sequence * shape.kv_heads + n) * length + position) * dim);
    }
  }
}

void split_heads_backward(const AttentionShape& shape, const Bf16* qkv, const float* inverse,
                          const Bf16* q_norm, const Bf16* k_norm, const float* cosine,
                          const float* sine, const Bf16* dq, const Bf16* dk, const Bf16* dv,
                          Bf16* dqkv, float* dq_norm, float* dk_norm) {
  const std::int64_t dim = shape.head_dim;
  const std::int64_t length = shape.length;
  for (std::int64_t row = 0; row < shape.rows(); ++row) {
    const std::int64_t sequence = row / length;
    const std::int64_t position = row % length;
    const Bf16* in = qkv + row * shape.qkv_width();
    Bf16* out = dqkv + row * shape.qkv_width();
    const float* c = cosine + position * (dim / 2);
    const float* s = sine + position * (dim / 2);
    const float* inv = inverse + row * (shape.heads + shape.kv_heads);
    for (std::int64_t n = 0; n < shape.heads; ++n, in += dim, out += dim) {
      const Bf16* d = dq + ((sequence * shape.heads + n) * length + position) * dim;
      norm_and_rotate_backward(shape, in, inv[n], q_norm, c, s, d, out, dq_norm);
    }
    for (std::int64_t n = 0; n < shape.kv_heads; ++n, in += dim, out += dim) {
      const Bf16* d = dk + ((sequence * shape.kv_heads + n) * length + position) * dim;
      norm_and_rotate_backward(shape, in, inv[shape.heads + n], k_norm, c, s, d, out, dk_norm);
    }
    for (std::int64_t n = 0; n < shape.kv_heads; ++n, out += dim) {
      std::copy_n(dv + ((sequence * shape.kv_heads + n) * length + position) * dim, dim, out);
    }
  }
}

void merge_heads(const AttentionShape& shape, const Bf16* in, Bf16* out) {
  const std::int64_t dim = shape.head_dim;
  for (std::int64_t row = 0; row < shape.rows(); ++row) {
    const std::int64_t sequence = row / shape.length;
    const std::int64_t position = row % shape.length;
    for (std::int64_t n = 0; n < shape.heads; ++n, out += dim) {
      const std::int64_t from = (sequence * shape.heads + n) * shape.length + position;
      std::copy_n(in + from * dim, dim, out);
    }
  }
}

void unmerge_heads(const AttentionShape& shape, const Bf16* in, Bf16* out) {
  const std::int64_t dim = shape.head_dim;
  for (std::int64_t row = 0; row < shape.rows(); ++row) {
    const std::int64_t sequence = row / shape.length;
    const std::int64_t position = row % shape.length;
    for (std::int64_t n = 0; n < shape.heads; ++n, in += dim) {
      const std::int64_t to = (sequence * shape.heads + n) * shape.length + position;
      std::copy_n(in, dim, out + to * dim);
    }
  }
}

void causal_softmax(const AttentionShape& shape, const std::int32_t* first, Bf16* scores) {
  const float scale = 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
  const std::int64_t rows = shape.rows() * shape.heads;
  for (std::int64_t r = 0; r < rows; ++r) {
    Bf16* __restrict row = scores + r * shape.length;
    const std::int64_t end = r % shape.length + 1;
    const std::int64_t begin =
        std::min<std::int64_t>(first[r / (shape.length * shape.heads)], end - 1);
    float top = -1e30F;
#pragma omp simd reduction(max : top)
    for (std::int64_t j = begin; j < end; ++j) top = widen(row[j]) > top ? widen(row[j]) : top;
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t j = begin; j < end; ++j) {
      const float e = quick_exp((widen(row[j]) - top) * scale);
      row[j] = narrow(e);
      sum += e;
    }
    const float norm = 1.0F / sum;
    std::fill(row, row + begin, Bf16{0});
#pragma GCC ivdep
    for (std::int64_t j = begin; j < end; ++j) row[j] = narrow(widen(row[j]) * norm);
    std::fill(row + end, row + shape.length, Bf16{0});
  }
}

void causal_softmax_backward(const AttentionShape& shape, const std::int32_t* first,
                             const Bf16* probabilities, Bf16* dprobabilities) {
  const float scale = 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
  const std::int64_t rows = shape.rows() * shape.heads;
  for (std::int64_t r = 0; r < rows; ++r) {
    const Bf16* __restrict p = probabilities + r * shape.length;
    Bf16* __restrict d = dprobabilities + r * shape.length;
    const std::int64_t end = r % shape.length + 1;
    const std::int64_t begin =
        std::min<std::int64_t>(first[r / (shape.length * shape.heads)], end - 1);
    float dot = 0.0F;
#pragma omp simd reduction(+ : dot)
    for (std::int64_t j = begin; j < end; ++j) dot += widen(p[j]) * widen(d[j]);
    std::fill(d, d + begin, Bf16{0});
#pragma GCC ivdep
    for (std::int64_t j = begin; j < end; ++j) {
      d[j] = narrow(widen(p[j]) * (widen(d[j]) - dot) * scale);
    }
    std::fill(d + end, d + shape.length, Bf16{0});
  }
}

}  // namespace sjd::train
