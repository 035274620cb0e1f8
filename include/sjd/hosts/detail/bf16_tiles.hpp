// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sjd/hosts/detail/bf16_product.hpp"

#if SJD_X86 && defined(__linux__)
#define SJD_HOST_TILES 1
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#else
#define SJD_HOST_TILES 0
#endif

#if SJD_HOST_TILES
/// Bf16Product on the matrix unit (AMX), for processors that have it.
namespace sjd::hosts::detail::amx {

#define SJD_AMX __attribute__((target("avx512f,avx512bf16,avx2,fma")))

/// Asks the system, once per process, for the right to use tiles: their state is large, so Linux
/// gives it to nobody unasked.
[[nodiscard]] inline bool permitted() {
  static const bool granted = [] {
    constexpr long request_permission = 0x1023;
    constexpr long tile_data = 18;
    return ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  }();
  return granted;
}

[[nodiscard]] inline bool supported() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned bf16_and_tile = 1U << 22U | 1U << 24U;
  if ((d & bf16_and_tile) != bf16_and_tile) return false;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) == 0 || (a & 1U << 5U) == 0) return false;
  if (__builtin_cpu_supports("avx512f") == 0) return false;
  unsigned low = 0;
  asm volatile("xgetbv" : "=a"(low) : "c"(0) : "edx");
  constexpr unsigned tile_state = 3U << 17U;
  return (low & tile_state) == tile_state && permitted();
}

// Written as assembly since the intrinsics of g++ 12 do not say which memory they touch, so that
// the compiler drops stores in front of them. Tiles are no registers to the compiler.
template <int Tile>
SJD_ALWAYS_INLINE void load_tile(const void* p, std::int64_t bytes) {
  asm volatile("{tileloadd\t(%0,%1,1), %%tmm%c2|tileloadd\ttmm%c2, [%0+%1*1]}"
               :
               : "r"(p), "r"(bytes), "i"(Tile)
               : "memory");
}
template <int Tile>
SJD_ALWAYS_INLINE void store_tile(void* p, std::int64_t bytes) {
  asm volatile("{tilestored\t%%tmm%c2, (%0,%1,1)|tilestored\t[%0+%1*1], tmm%c2}"
               :
               : "r"(p), "r"(bytes), "i"(Tile)
               : "memory");
}
template <int Tile>
SJD_ALWAYS_INLINE void zero_tile() {
  asm volatile("tilezero\t{%%tmm%c0|tmm%c0}" : : "i"(Tile));
}
template <int Sum, int Left, int Right>
SJD_ALWAYS_INLINE void multiply_tiles() {
  asm volatile("{tdpbf16ps\t%%tmm%c2, %%tmm%c1, %%tmm%c0|tdpbf16ps\ttmm%c0, tmm%c1, tmm%c2}"
               :
               : "i"(Sum), "i"(Left), "i"(Right));
}

/// Tiles 0 to 3 are sums, 4 (and 5 with two row tiles) activations, the others weights.
///
/// Set up per product and given back at its end: whoever else uses tiles on this thread finds them
/// as he left them, unused, and a switch of threads need not save them.
class TileScope {
 public:
  TileScope(std::int64_t first_rows, std::int64_t second_rows) {
    alignas(64) Shape shape;
    for (int tile = 0; tile < 8; ++tile) {
      const bool weights = tile > 5 || (tile == 5 && second_rows == 0);
      const bool second = second_rows != 0 && (tile == 2 || tile == 3 || tile == 5);
      shape.rows[tile] = static_cast<std::uint8_t>(weights  ? 16
                                                   : second ? second_rows
                                                            : first_rows);
      shape.row_bytes[tile] = 64;
    }
    asm volatile("ldtilecfg\t%0" : : "m"(shape) : "memory");
  }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
  ~TileScope() { asm volatile("tilerelease" : : : "memory"); }

 private:
  struct Shape {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
  };
  static_assert(sizeof(Shape) == 64);
};

/// Where a block of up to 32 rows and 32 outputs stands, and which weights it calls for meanwhile.
struct TileBlock {
  const std::uint16_t* x;
  const std::uint32_t* w;
  float* y;
  const std::uint32_t* next;
  std::int64_t next_words;  ///< for each block of inputs, a multiple of 16
};

/// The processor fetches ahead on its own, but never past the end of a page, and a page holds two
/// blocks of weights. Locality as of __builtin_prefetch: 3 is the first-level cache, 2 the second.
/// An address behind all weights is no error.
template <int Locality>
SJD_ALWAYS_INLINE void call_for(const std::uint32_t* words, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 16) __builtin_prefetch(words + i, 0, Locality);
}

template <int Sum>
SJD_ALWAYS_INLINE void finish_tile(const Bf16Product& p, float* y, float* scratch) {
  if (p.accumulate) {
    store_tile<Sum>(scratch + Sum * 256, 64);
  } else {
    store_tile<Sum>(y, p.y_stride * 4);
  }
}

/// y += the finished sums of one tile.
SJD_AMX inline void add_tile(const float* sums, std::int64_t rows, float* y, std::int64_t stride) {
  for (std::int64_t i = 0; i < rows; ++i) {
    avx512::store(y + i * stride,
                  avx512::add(avx512::load(y + i * stride), avx512::load(sums + i * 16)));
  }
}

/// 17 to 32 rows, one panel.
SJD_AMX inline void two_row_tiles(const Bf16Product& p, const TileBlock& at, std::int64_t rows) {
  const std::int64_t bytes = p.x_stride * 2;
  const std::uint16_t* x = at.x;
  const std::uint16_t* x16 = at.x + 16 * p.x_stride;
  const std::uint32_t* w = at.w;
  zero_tile<0>(), zero_tile<1>(), zero_tile<2>(), zero_tile<3>();
  for (std::int64_t block = 0; block < p.blocks; ++block) {
    call_for<2>(at.next + block * at.next_words, at.next_words);
    load_tile<6>(w, 64);
    load_tile<4>(x, bytes);
    multiply_tiles<0, 4, 6>();
    load_tile<5>(x16, bytes);
    multiply_tiles<2, 5, 6>();
    load_tile<7>(w + half_block, 64);
    multiply_tiles<1, 4, 7>();
    multiply_tiles<3, 5, 7>();
    x += block_depth;
    x16 += block_depth;
    w += 2 * half_block;
  }
  alignas(64) float scratch[4 * 256];
  float* y16 = at.y + 16 * p.y_stride;
  finish_tile<0>(p, at.y, scratch), finish_tile<1>(p, at.y + 16, scratch);
  finish_tile<2>(p, y16, scratch), finish_tile<3>(p, y16 + 16, scratch);
  if (!p.accumulate) return;
  add_tile(scratch, 16, at.y, p.y_stride), add_tile(scratch + 256, 16, at.y + 16, p.y_stride);
  add_tile(scratch + 512, rows - 16, y16, p.y_stride);
  add_tile(scratch + 768, rows - 16, y16 + 16, p.y_stride);
}

/// Up to 16 rows, one panel.
SJD_AMX inline void one_row_tile(const Bf16Product& p, const TileBlock& at, std::int64_t rows) {
  const std::int64_t bytes = p.x_stride * 2;
  const std::uint16_t* x = at.x;
  const std::uint32_t* w = at.w;
  zero_tile<0>(), zero_tile<1>();
  for (std::int64_t block = 0; block < p.blocks; ++block) {
    call_for<3>(at.next + block * at.next_words, at.next_words);
    load_tile<4>(x, bytes);
    load_tile<5>(w, 64);
    multiply_tiles<0, 4, 5>();
    load_tile<6>(w + half_block, 64);
    multiply_tiles<1, 4, 6>();
    x += block_depth;
    w += 2 * half_block;
  }
  alignas(64) float scratch[4 * 256];
  finish_tile<0>(p, at.y, scratch), finish_tile<1>(p, at.y + 16, scratch);
  if (!p.accumulate) return;
  add_tile(scratch, rows, at.y, p.y_stride), add_tile(scratch + 256, rows, at.y + 16, p.y_stride);
}

/// Rows [first, end), 32 at a time: the last time at least 17. The row blocks of a panel share the
/// work of calling for the next one.
SJD_AMX inline void tall_rows(const Bf16Product& p, std::int64_t first, std::int64_t end) {
  const TileScope tiles{16, std::min<std::int64_t>(end - first - 16, 16)};
  const std::int64_t row_blocks = (end - first + 31) / 32;
  const std::int64_t share = (2 * half_block / row_blocks + 15) / 16 * 16;
  for (std::int64_t panel = 0; panel < p.panels; ++panel) {
    const std::uint32_t* w = p.weights + panel * p.panel_stride;
    for (std::int64_t i = 0; i < row_blocks; ++i) {
      const std::int64_t row = first + i * 32;
      const TileBlock at{p.x + row * p.x_stride, w, p.y + row * p.y_stride + panel * panel_width,
                         w + p.panel_stride + i * p.blocks * share, share};
      two_row_tiles(p, at, std::min<std::int64_t>(end - row, 32));
    }
  }
}

/// At most 16 rows from `first` to the last. Panels follow one another as one stream of weights,
/// which is as fast as memory; two streams side by side are slower.
SJD_AMX inline void flat_rows(const Bf16Product& p, std::int64_t first) {
  const std::int64_t rows = p.rows - first;
  const TileScope tiles{rows, 0};
  for (std::int64_t panel = 0; panel < p.panels; ++panel) {
    const std::uint32_t* w = p.weights + panel * p.panel_stride;
    one_row_tile(p,
                 {p.x + first * p.x_stride, w, p.y + first * p.y_stride + panel * panel_width,
                  w + 4 * half_block, 2 * half_block},
                 rows);
  }
}

SJD_AMX inline void product_bf16(const Bf16Product& p) {
  const FlushScope flush_scope;
  const std::int64_t whole = p.rows / 32 * 32;
  const std::int64_t rest = p.rows - whole;
  if (whole > 0) tall_rows(p, 0, whole);
  if (rest > 16) tall_rows(p, whole, p.rows);
  if (rest > 0 && rest <= 16) flat_rows(p, whole);
}

SJD_AMX inline void round_row(const float* x, std::uint16_t* y, std::int64_t size) {
  for (std::int64_t i = 0; i < size; i += 16) {
    const auto narrow = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + i));
    __builtin_memcpy(y + i, &narrow, sizeof(narrow));
  }
}

}  // namespace sjd::hosts::detail::amx
#endif
