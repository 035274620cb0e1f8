// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "sjd/cuda/detail/llama_row_kernels.hpp"
#include "sjd/cuda/detail/warp_product.hpp"
#include "sjd/cuda/llama_cache.hpp"

namespace sjd::cuda {

/// Result of one query over a share of the keys.
struct ShareResult {
  float top = 0.0F;  ///< largest score, in powers of two
  float sum = 0.0F;  ///< of 2^(score - top); 0: the share holds no key of this query
};

/// What attend works on.
///
/// shapes  qkv [groups, rows, heads q, kv_heads k, kv_heads v, head_dim], rotated; places [groups,
///         rows]; groups [group_count]; attended [groups, rows, heads, head_dim]; with more than
///         one split mixed [splits, groups, rows, heads, head_dim] and results [splits, groups,
///         rows, heads]
template <StoredNumber Number>
struct AttentionArguments {
  const Number* qkv = nullptr;
  const RowPlace* places = nullptr;
  const GroupPlace* groups = nullptr;
  std::int64_t group_count = 0;
  std::int64_t rows = 0;
  std::int64_t heads = 0;
  KeyValueCache<Number> cache{};
  std::int64_t layer = 0;
  std::int64_t splits = 1;  ///< blocks that share the keys of a query
  Number* attended = nullptr;
  float* mixed = nullptr;
  ShareResult* results = nullptr;
};

namespace detail {

inline constexpr int attention_queries = 64;   // of a block
inline constexpr int attention_threads = 256;  // 8 warps: 4 strips of 16 queries, 2 halves of keys

/// Blocks that the queries of one key-value head and group need.
template <StoredNumber Number>
SJD_HOST_DEVICE std::int64_t query_tiles(const AttentionArguments<Number>& a) {
  const std::int64_t queries = a.rows * (a.heads / a.cache.kv_heads);
  return (queries + attention_queries - 1) / attention_queries;
}

/// Causal attention with an online softmax; a block holds 64 queries that read one key-value head
/// and walks through its share of the keys, a tile at a time. The 3 phases of a tile overlap the
/// copies of the next one: a half of shared memory is filled while the other is multiplied.
///
/// source  docs/checkpoint.md; Dao, "FlashAttention-2" (arXiv 2307.08691), algorithm 1
template <StoredNumber Number, int Dim>
struct AttentionKernel {
  static constexpr int pack = pack_size<Number>;
  static constexpr int keys = 32 * pack;           // of a tile
  static constexpr int line = Dim / pack + 4;      // words of a query or key; 4: no bank twice
  static constexpr int value_line = Dim + 8;       // words of `pack` values
  static constexpr int share_line = 32 + 4;        // words of a query's weights
  static constexpr int key_tiles = keys / 2 / 8;   // of a warp
  static constexpr int value_tiles = Dim / 2 / 8;  // of a warp
  static constexpr int queries = attention_queries;

  static constexpr int keys_at = queries * line;
  static constexpr int values_at = keys_at + keys * line;
  static constexpr int shares_at = values_at + 32 * value_line;
  static constexpr int words = shares_at + queries * share_line;  // of dynamic shared memory

  struct Shared {
    float part[queries][8];  // [query][half, pair], of the 8 threads that hold one
  };
  struct Own {
    float mixed[static_cast<std::size_t>(value_tiles)][4];
    float score[static_cast<std::size_t>(key_tiles)][4];
    float top[2];  // of lines TileLane::line and + 8; the same in the 8 threads of a query
    float sum[2];  // of own columns
    std::int32_t seen[2];
  };
  using Arguments = AttentionArguments<Number>;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const Case c = case_of(a, block.cluster());
    block.phase([&a, c](const Here& t, Own& own) {
      begin(a, c, t, own);
      if (c.first < c.end) copy_keys(a, c, c.first, t);
      end_copies();
      wait_for_copies<0>();
    });
    for (std::int64_t at = c.first; at < c.end; at += keys) {
      block.phase([&a, c, at](const Here& t, Own& own) {
        copy_values(a, c, at, t);
        end_copies();
        score(c, at, t, own);
      });
      block.phase([&a, c, at](const Here& t, Own& own) {
        if (at + keys < c.end) copy_keys(a, c, at + keys, t);
        end_copies();
        weigh(t, own);
        wait_for_copies<1>();
      });
      block.phase([](const Here& t, Own& own) {
        mix(t, own);
        wait_for_copies<0>();
      });
    }
    block.phase([](const Here& t, Own& own) {
      const Lane lane = lane_of(t);
      for (int i = 0; i < 2; ++i) part(t, lane, i) = own.sum[i];
    });
    block.phase([&a, c](const Here& t, Own& own) { write(a, c, t, own); });
  }

 private:
  static constexpr float nothing = -std::numeric_limits<float>::infinity();

  /// Which queries and keys a block has.
  struct Case {
    std::int64_t group = 0;
    std::int64_t head = 0;   // of keys and values
    std::int64_t query = 0;  // first one
    std::int64_t split = 0;
    std::int64_t base = 0;  // of the head in the cache
    std::int64_t first = 0;
    std::int64_t end = 0;
    float scale = 0.0F;  // from scores to powers of two
  };
  struct Lane {
    TileLane tile;
    int strip = 0;  // first query
    int half = 0;   // of the keys, of the channels
  };

  SJD_DEVICE static Case case_of(const Arguments& a, std::int64_t block) {
    Case c;
    c.split = block % a.splits;
    block /= a.splits;
    c.query = block % query_tiles(a) * queries;
    block /= query_tiles(a);
    c.head = block % a.cache.kv_heads;
    c.group = block / a.cache.kv_heads;
    c.scale = 1.44269504F / std::sqrt(static_cast<float>(Dim));
    const GroupPlace place = a.groups[c.group];
    if (place.slot < 0) return c;
    c.base = a.cache.head(place.slot, a.layer, c.head);
    const std::int64_t tiles = (std::int64_t{place.keys} + keys - 1) / keys;
    const std::int64_t share = (tiles + a.splits - 1) / a.splits;
    c.first = c.split * share * keys;
    c.end = std::min((c.split + 1) * share, tiles) * keys;
    return c;
  }

  SJD_DEVICE static Lane lane_of(const Here& t) {
    const int warp = t.index / 32;
    const int lane = t.index % 32;
    return {{lane / 4, lane % 4}, warp / 2 * 16, warp % 2};
  }
  SJD_DEVICE static float& part(const Here& t, const Lane& lane, int i) {
    return t.shared->part[lane.strip + lane.tile.line + 8 * i][4 * lane.half + lane.tile.pair];
  }

  /// 32 bits: a device divides 64 in a hundred instructions.
  SJD_DEVICE static int group_size(const Arguments& a) {
    return static_cast<int>(a.heads) / static_cast<int>(a.cache.kv_heads);
  }
  /// Row of the pass that query m of the block belongs to; -1: there is no such query.
  SJD_DEVICE static std::int64_t row_of(const Arguments& a, const Case& c, int m) {
    const int row = (static_cast<int>(c.query) + m) / group_size(a);
    return row < a.rows ? c.group * a.rows + row : -1;
  }
  SJD_DEVICE static std::int64_t head_of(const Arguments& a, const Case& c, int m) {
    return c.head * group_size(a) + (static_cast<int>(c.query) + m) % group_size(a);
  }

  SJD_DEVICE static void begin(const Arguments& a, const Case& c, const Here& t, Own& own) {
    const Lane lane = lane_of(t);
    SJD_DEVICE_UNROLL
    for (int tile = 0; tile < value_tiles; ++tile) {
      SJD_DEVICE_UNROLL
      for (int i = 0; i < 4; ++i) own.mixed[tile][i] = 0.0F;
    }
    SJD_DEVICE_UNROLL
    for (int i = 0; i < 2; ++i) {
      const std::int64_t row = row_of(a, c, lane.strip + lane.tile.line + 8 * i);
      own.top[i] = nothing;
      own.sum[i] = 0.0F;
      own.seen[i] = 0;
      if (row >= 0 && a.places[row].kind == RowKind::live) {
        own.seen[i] = static_cast<std::int32_t>(a.places[row].position + 1);
      }
    }
    constexpr int pieces = Dim / pack / 4;
    const std::int64_t stride = (a.heads + 2 * a.cache.kv_heads) * Dim;
    for (int i = t.index; i < queries * pieces; i += t.count) {
      const int m = i / pieces;
      const int word = i % pieces * 4;
      std::uint32_t* to = t.words + m * line + word;
      const std::int64_t row = row_of(a, c, m);
      if (row >= 0) {
        copy_16(to, a.qkv + row * stride + head_of(a, c, m) * Dim + word * pack);
      } else {
        for (int w = 0; w < 4; ++w) to[w] = 0;
      }
    }
  }

  SJD_DEVICE static void copy_keys(const Arguments& a, const Case& c, std::int64_t at,
                                   const Here& t) {
    constexpr int pieces = Dim / pack / 4;
    const Number* from = a.cache.keys + c.base + a.cache.key(at, 0);
    for (int i = t.index; i < keys * pieces; i += t.count) {
      copy_16(t.words + keys_at + i / pieces * line + i % pieces * 4, from + i * 4 * pack);
    }
  }
  SJD_DEVICE static void copy_values(const Arguments& a, const Case& c, std::int64_t at,
                                     const Here& t) {
    constexpr int pieces = Dim / 4;
    const Number* from = a.cache.values + c.base + a.cache.value(at, 0);
    for (int i = t.index; i < 32 * pieces; i += t.count) {
      copy_16(t.words + values_at + i / pieces * value_line + i % pieces * 4, from + i * 4 * pack);
    }
  }

  /// Scores of own columns, and the largest of each line for the other threads of the query.
  SJD_DEVICE static void score(const Case& c, std::int64_t at, const Here& t, Own& own) {
    const Lane lane = lane_of(t);
    const std::uint32_t* q = t.words + lane.strip * line;
    const std::uint32_t* k = t.words + keys_at + lane.half * (keys / 2) * line;
    SJD_DEVICE_UNROLL
    for (int tile = 0; tile < key_tiles; ++tile) {
      SJD_DEVICE_UNROLL
      for (int i = 0; i < 4; ++i) own.score[tile][i] = 0.0F;
    }
    multiply<Number, Dim>([q](int m, int word) { return q[m * line + word]; },
                          [k](int n, int word) { return k[n * line + word]; }, lane.tile,
                          own.score);
    float top[2] = {nothing, nothing};
    const auto first = static_cast<std::int32_t>(at) + lane.half * (keys / 2) + 2 * lane.tile.pair;
    SJD_DEVICE_UNROLL
    for (int tile = 0; tile < key_tiles; ++tile) {
      SJD_DEVICE_UNROLL
      for (int i = 0; i < 4; ++i) {
        const bool visible = first + 8 * tile + i % 2 < own.seen[i / 2];
        const float x = visible ? own.score[tile][i] * c.scale : nothing;
        own.score[tile][i] = x;
        top[i / 2] = x > top[i / 2] ? x : top[i / 2];
      }
    }
    SJD_DEVICE_UNROLL
    for (int i = 0; i < 2; ++i) part(t, lane, i) = top[i];
  }

  /// Scores become weights; what was mixed before shrinks to the new largest score.
  SJD_DEVICE static void weigh(const Here& t, Own& own) {
    const Lane lane = lane_of(t);
    SJD_DEVICE_UNROLL
    for (int i = 0; i < 2; ++i) {
      const float* parts = t.shared->part[lane.strip + lane.tile.line + 8 * i];
      float top = own.top[i];
      SJD_DEVICE_UNROLL
      for (int j = 0; j < 8; ++j) top = parts[j] > top ? parts[j] : top;
      const float shrink = top == own.top[i] ? 1.0F : std::exp2(own.top[i] - top);
      own.top[i] = top;
      own.sum[i] *= shrink;
      SJD_DEVICE_UNROLL
      for (int tile = 0; tile < value_tiles; ++tile) {
        own.mixed[tile][2 * i] *= shrink;
        own.mixed[tile][2 * i + 1] *= shrink;
      }
      SJD_DEVICE_UNROLL
      for (int tile = 0; tile < key_tiles; ++tile) {
        float weight[2];
        SJD_DEVICE_UNROLL
        for (int j = 0; j < 2; ++j) {
          const float x = own.score[tile][2 * i + j];
          weight[j] = x == nothing ? 0.0F : std::exp2(x - top);
          own.sum[i] += weight[j];
        }
        const int column = lane.half * (keys / 2) + 8 * tile + 2 * lane.tile.pair;
        std::uint32_t* to = t.words + shares_at +
                            (lane.strip + lane.tile.line + 8 * i) * share_line + column / pack;
        store_shares(to, weight[0], weight[1]);
      }
    }
  }

  SJD_DEVICE static void store_shares(std::uint32_t* to, float x, float y) {
    if constexpr (pack == 1) {
      to[0] = std::bit_cast<std::uint32_t>(x);
      to[1] = std::bit_cast<std::uint32_t>(y);
    } else {
      to[0] = packed_pair(x, y);
    }
  }

  /// Values of own channels, by weight.
  SJD_DEVICE static void mix(const Here& t, Own& own) {
    const Lane lane = lane_of(t);
    const std::uint32_t* p = t.words + shares_at + lane.strip * share_line;
    const std::uint32_t* v = t.words + values_at + lane.half * (Dim / 2);
    multiply<Number, keys>([p](int m, int word) { return p[m * share_line + word]; },
                           [v](int n, int word) { return v[word * value_line + n]; }, lane.tile,
                           own.mixed);
  }

  SJD_DEVICE static void write(const Arguments& a, const Case& c, const Here& t, const Own& own) {
    const Lane lane = lane_of(t);
    SJD_DEVICE_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int m = lane.strip + lane.tile.line + 8 * i;
      const std::int64_t row = row_of(a, c, m);
      if (row < 0) continue;
      float sum = 0.0F;
      SJD_DEVICE_UNROLL
      for (int j = 0; j < 8; ++j) sum += t.shared->part[m][j];
      const std::int64_t share =
          (c.split * a.group_count * a.rows + row) * a.heads + head_of(a, c, m);
      if (a.splits > 1 && lane.half == 0 && lane.tile.pair == 0) {
        a.results[share] = {own.top[i], sum};
      }
      const std::int64_t d = lane.half * (Dim / 2) + 2 * lane.tile.pair;
      const float factor = sum > 0.0F ? 1.0F / sum : 0.0F;
      SJD_DEVICE_UNROLL
      for (int tile = 0; tile < value_tiles; ++tile) {
        const float x = own.mixed[tile][2 * i];
        const float y = own.mixed[tile][2 * i + 1];
        if (a.splits > 1) {
          store_pair(a.mixed + share * Dim + d + 8 * tile, x, y);
        } else {
          store_pair(a.attended + (row * a.heads + head_of(a, c, m)) * Dim + d + 8 * tile,
                     x * factor, y * factor);
        }
      }
    }
  }
};

/// One block a row: adds what the splits found.
template <StoredNumber Number>
struct CombineKernel {
  struct Shared {};
  using Arguments = AttentionArguments<Number>;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t row = block.cluster();
    block.phase([&a, row](const Here& t) {
      const int dim = static_cast<int>(a.cache.head_dim);
      const int size = static_cast<int>(a.heads) * dim;
      for (int i = t.index; i < size; i += t.count) {
        a.attended[row * size + i] = rounded<Number>(combined(a, row * a.heads + i / dim, i % dim));
      }
    });
  }

 private:
  SJD_DEVICE static float combined(const Arguments& a, std::int64_t share, std::int64_t d) {
    const std::int64_t step = a.group_count * a.rows * a.heads;
    float top = -std::numeric_limits<float>::infinity();
    for (std::int64_t s = 0; s < a.splits; ++s) {
      const ShareResult& result = a.results[share + s * step];
      if (result.sum > 0.0F && result.top > top) top = result.top;
    }
    float sum = 0.0F;
    float mixed = 0.0F;
    for (std::int64_t s = 0; s < a.splits; ++s) {
      const ShareResult& result = a.results[share + s * step];
      if (!(result.sum > 0.0F)) continue;
      const float weight = std::exp2(result.top - top);
      sum += weight * result.sum;
      mixed += weight * a.mixed[(share + s * step) * a.cache.head_dim + d];
    }
    return sum > 0.0F ? mixed / sum : 0.0F;
  }
};

}  // namespace detail

}  // namespace sjd::cuda
