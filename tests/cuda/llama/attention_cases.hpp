// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "sjd/cuda/llama_layers.hpp"

/// Attention over random numbers, on whatever runs kernels, against its definition in double.
namespace sjd::test {

/// One pass of attention; host arrays.
struct AttentionCase {
  std::int64_t groups = 1;
  std::int64_t rows = 1;
  std::int64_t heads = 2;
  std::int64_t kv_heads = 1;
  std::int64_t dim = 32;
  std::int64_t capacity = 256;
  std::int64_t before = 0;  ///< keys in front of the first row of group 0, one more a group
  std::int64_t live = 1;    ///< rows of each group; the others are absent
  std::int64_t splits = 1;
};

template <cuda::StoredNumber Number>
struct AttentionArrays {
  explicit AttentionArrays(const AttentionCase& c, std::uint32_t seed = 7)
      : qkv(size(c.groups * c.rows * width(c))),
        keys(size(c.groups * 2 * c.kv_heads * c.capacity * c.dim)),
        values(keys.size()),
        places(size(c.groups * c.rows)),
        groups(size(c.groups)),
        attended(size(c.groups * c.rows * c.heads * c.dim)),
        mixed(size(c.splits) * attended.size()),
        results(size(c.splits * c.groups * c.rows * c.heads)) {
    std::mt19937 engine{seed};
    std::normal_distribution<float> normal;
    for (auto* numbers : {&qkv, &keys, &values}) {
      for (Number& x : *numbers) x = cuda::detail::rounded<Number>(normal(engine));
    }
    for (std::int64_t g = 0; g < c.groups; ++g) {
      // Slots in another order than groups.
      const auto slot = static_cast<std::int32_t>(c.groups - 1 - g);
      for (std::int64_t i = 0; i < c.live; ++i) {
        places[size(g * c.rows + i)] = {cuda::RowKind::live, slot, c.before + g + i};
      }
      if (c.live == 0) continue;
      groups[size(g)] = {slot, static_cast<std::uint32_t>(c.before + g + c.live)};
    }
  }

  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }
  static std::int64_t width(const AttentionCase& c) { return (c.heads + 2 * c.kv_heads) * c.dim; }

  /// The arguments of layer 1 of 2 with every pointer through `at`, a map from host arrays.
  template <class At>
  cuda::AttentionArguments<Number> arguments(const AttentionCase& c, At&& at) {
    cuda::AttentionArguments<Number> a;
    a.qkv = at(qkv);
    a.places = at(places);
    a.groups = at(groups);
    a.group_count = c.groups;
    a.rows = c.rows;
    a.heads = c.heads;
    a.cache = {at(keys), at(values), c.groups, 2, c.kv_heads, c.capacity, c.dim};
    a.layer = 1;
    a.splits = c.splits;
    a.attended = at(attended);
    a.mixed = at(mixed);
    a.results = at(results);
    return a;
  }

  std::vector<Number> qkv;                 // [groups, rows, heads + 2 kv_heads, dim]
  std::vector<Number> keys;                // [groups, 2, kv_heads, capacity, dim]
  std::vector<Number> values;              // the same
  std::vector<cuda::RowPlace> places;      // [groups, rows]
  std::vector<cuda::GroupPlace> groups;    // [groups]
  std::vector<Number> attended;            // [groups, rows, heads, dim]
  std::vector<float> mixed;                // [splits, groups, rows, heads, dim]
  std::vector<cuda::ShareResult> results;  // [splits, groups, rows, heads]
};

/// What one query of a live row must find, channel by channel.
template <cuda::StoredNumber Number>
std::vector<double> attention_of(const AttentionCase& c, const AttentionArrays<Number>& all,
                                 std::int64_t row, std::int64_t head) {
  using Arrays = AttentionArrays<Number>;
  const cuda::RowPlace& place = all.places[Arrays::size(row)];
  cuda::KeyValueCache<Number> cache;
  cache.layers = 2;
  cache.kv_heads = c.kv_heads;
  cache.capacity = c.capacity;
  cache.head_dim = c.dim;
  const std::int64_t base = cache.head(place.slot, 1, head / (c.heads / c.kv_heads));
  std::vector<double> scores;
  for (std::int64_t k = 0; k <= place.position; ++k) {
    double score = 0.0;
    for (std::int64_t d = 0; d < c.dim; ++d) {
      const Number q = all.qkv[Arrays::size(row * Arrays::width(c) + head * c.dim + d)];
      score += static_cast<double>(cuda::to_float(q)) *
               static_cast<double>(cuda::to_float(all.keys[Arrays::size(base + cache.key(k, d))]));
    }
    scores.push_back(score / std::sqrt(static_cast<double>(c.dim)));
  }
  const double top = *std::max_element(scores.begin(), scores.end());
  double sum = 0.0;
  std::vector<double> mixed(Arrays::size(c.dim));
  for (std::int64_t k = 0; k <= place.position; ++k) {
    const double weight = std::exp(scores[Arrays::size(k)] - top);
    sum += weight;
    for (std::int64_t d = 0; d < c.dim; ++d) {
      const Number v = all.values[Arrays::size(base + cache.value(k, d))];
      mixed[Arrays::size(d)] += weight * static_cast<double>(cuda::to_float(v));
    }
  }
  for (double& x : mixed) x /= sum;
  return mixed;
}

/// The largest distance from the definition; rows that are not live must be zeros, or it is 1e9.
template <cuda::StoredNumber Number>
double attention_error(const AttentionCase& c, const AttentionArrays<Number>& all) {
  using Arrays = AttentionArrays<Number>;
  double worst = 0.0;
  for (std::int64_t row = 0; row < c.groups * c.rows; ++row) {
    const bool live = all.places[Arrays::size(row)].kind == cuda::RowKind::live;
    for (std::int64_t head = 0; head < c.heads; ++head) {
      const std::vector<double> expected =
          live ? attention_of(c, all, row, head) : std::vector<double>(Arrays::size(c.dim));
      for (std::int64_t d = 0; d < c.dim; ++d) {
        const auto found = static_cast<double>(
            cuda::to_float(all.attended[Arrays::size((row * c.heads + head) * c.dim + d)]));
        const double error = std::abs(found - expected[Arrays::size(d)]);
        if (!(error <= worst)) worst = error;
        if (!live && found != 0.0) return 1e9;
      }
    }
  }
  return worst;
}

/// Tile edges, ragged tiles of queries, groups of heads, splits, absent rows.
inline std::vector<AttentionCase> attention_cases() {
  return {
      {.groups = 1, .rows = 1, .heads = 1, .kv_heads = 1, .dim = 32, .before = 0, .live = 1},
      {.groups = 2, .rows = 3, .heads = 6, .kv_heads = 2, .dim = 32, .before = 62, .live = 2},
      {.groups = 2,
       .rows = 9,
       .heads = 4,
       .kv_heads = 2,
       .dim = 64,
       .before = 120,
       .live = 9,
       .splits = 3},
      {.groups = 1,
       .rows = 70,
       .heads = 2,
       .kv_heads = 2,
       .dim = 64,
       .before = 30,
       .live = 69,
       .splits = 2},
      {.groups = 3,
       .rows = 4,
       .heads = 2,
       .kv_heads = 1,
       .dim = 128,
       .before = 190,
       .live = 3,
       .splits = 8},
      {.groups = 2, .rows = 2, .heads = 2, .kv_heads = 1, .dim = 32, .before = 5, .live = 0},
  };
}

}  // namespace sjd::test
