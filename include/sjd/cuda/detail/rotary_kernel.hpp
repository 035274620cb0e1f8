// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "sjd/cuda/detail/llama_row_kernels.hpp"
#include "sjd/cuda/llama_cache.hpp"

namespace sjd::cuda {

/// What rotate_and_store works on.
///
/// shapes  qkv [row_count, heads q, kv_heads k, kv_heads v, head_dim], q replaced; q_norm, k_norm
///         [head_dim] or null; cosine, sine [capacity, head_dim / 2]; places [row_count]
template <StoredNumber Number>
struct RotaryArguments {
  Number* qkv = nullptr;
  const RowPlace* places = nullptr;
  std::int64_t row_count = 0;
  std::int64_t heads = 0;
  const float* q_norm = nullptr;
  const float* k_norm = nullptr;
  float epsilon = 0.0F;
  const float* cosine = nullptr;
  const float* sine = nullptr;
  KeyValueCache<Number> cache{};
  std::int64_t layer = 0;
};

namespace detail {

/// One block a row; see rotate_and_store. Dynamic words: [heads + kv_heads, parts] sums of squares.
template <StoredNumber Number>
struct RotaryKernel {
  static constexpr int parts = 8;

  struct Shared {};
  using Arguments = RotaryArguments<Number>;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t row = block.cluster();
    const RowPlace place = a.places[row];
    if (place.kind != RowKind::live) return;
    if (a.q_norm != nullptr) {
      block.phase([&a, row](const Here& t) { add_squares(a, row, t); });
    }
    block.phase([&a, row, place](const Here& t) {
      rotate(a, row, place, t);
      store_values(a, row, place, t);
    });
  }

 private:
  /// Heads of q and k together. 32 bits: a device divides 64 in a hundred instructions.
  SJD_DEVICE static int lines(const Arguments& a) {
    return static_cast<int>(a.heads + a.cache.kv_heads);
  }
  SJD_DEVICE static Number* line(const Arguments& a, std::int64_t row, std::int64_t index) {
    return a.qkv + (row * (lines(a) + a.cache.kv_heads) + index) * a.cache.head_dim;
  }

  SJD_DEVICE static void add_squares(const Arguments& a, std::int64_t row, const Here& t) {
    for (int i = t.index; i < lines(a) * parts; i += t.count) {
      const Number* x = line(a, row, i / parts);
      float sum = 0.0F;
      for (int d = i % parts; d < a.cache.head_dim; d += parts) {
        sum += to_float(x[d]) * to_float(x[d]);
      }
      t.words[i] = std::bit_cast<std::uint32_t>(sum);
    }
  }

  /// What a head is multiplied by before its norm weights.
  SJD_DEVICE static float factor(const Arguments& a, int index, const Here& t) {
    float sum = 0.0F;
    for (int i = 0; i < parts; ++i) sum += std::bit_cast<float>(t.words[index * parts + i]);
    return 1.0F / std::sqrt(sum / static_cast<float>(a.cache.head_dim) + a.epsilon);
  }

  /// One pair (j, j + half) of a head at a time.
  SJD_DEVICE static void rotate(const Arguments& a, std::int64_t row, const RowPlace& place,
                                const Here& t) {
    const int half = static_cast<int>(a.cache.head_dim) / 2;
    for (int i = t.index; i < lines(a) * half; i += t.count) {
      const int index = i / half;
      const int j = i % half;
      Number* x = line(a, row, index);
      float left = to_float(x[j]);
      float right = to_float(x[j + half]);
      const float* weight = index < a.heads ? a.q_norm : a.k_norm;
      if (weight != nullptr) {
        const float scale = factor(a, index, t);
        left *= scale * weight[j];
        right *= scale * weight[j + half];
      }
      const float cosine = a.cosine[place.position * half + j];
      const float sine = a.sine[place.position * half + j];
      const float first = left * cosine - right * sine;
      const float second = right * cosine + left * sine;
      if (index < a.heads) {
        x[j] = rounded<Number>(first);
        x[j + half] = rounded<Number>(second);
      } else {
        store_key(a, place, index - a.heads, j, first);
        store_key(a, place, index - a.heads, j + half, second);
      }
    }
  }

  /// What is not finite would reach rows that give it no weight at all: 0 times NaN is NaN.
  SJD_DEVICE static Number stored(float x) { return rounded<Number>(is_finite(x) ? x : 0.0F); }

  SJD_DEVICE static void store_key(const Arguments& a, const RowPlace& place, std::int64_t head,
                                   std::int64_t d, float x) {
    a.cache.keys[a.cache.head(place.slot, a.layer, head) + a.cache.key(place.position, d)] =
        stored(x);
  }

  SJD_DEVICE static void store_values(const Arguments& a, std::int64_t row, const RowPlace& place,
                                      const Here& t) {
    const int dim = static_cast<int>(a.cache.head_dim);
    const int size = static_cast<int>(a.cache.kv_heads) * dim;
    for (int i = t.index; i < size; i += t.count) {
      const float x = to_float(line(a, row, lines(a))[i]);
      const std::int64_t head = a.cache.head(place.slot, a.layer, i / dim);
      a.cache.values[head + a.cache.value(place.position, i % dim)] = stored(x);
    }
  }
};

}  // namespace detail

}  // namespace sjd::cuda
