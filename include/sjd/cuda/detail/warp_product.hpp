// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "sjd/core/config.hpp"
#include "sjd/cuda/detail/llama_numbers.hpp"

/// Loops over registers must vanish: an index that is not known lies in local memory.
#if defined(__CUDACC__)
#define SJD_DEVICE_UNROLL _Pragma("unroll")
#else
#define SJD_DEVICE_UNROLL
#endif

namespace sjd::cuda::detail {

/// Where the outputs of one thread lie in a tile [16, 8] of a warp: rows `line` and line + 8,
/// columns 2 * pair and 2 * pair + 1.
///
/// source  PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type"
struct TileLane {
  int line = 0;  // 0 .. 7
  int pair = 0;  // 0 .. 3
};

/// Starts copying 16 bytes to shared memory; both addresses lie on 16 bytes.
SJD_DEVICE inline void copy_16(std::uint32_t* shared, const void* global) {
#if defined(__CUDA_ARCH__)
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
#else
  std::memcpy(shared, global, 16);
#endif
}

/// Ends a group of copies of this thread.
SJD_DEVICE inline void end_copies() {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most `Pending` of this thread's groups are on their way; others see the copies
/// behind the next barrier.
template <int Pending>
SJD_DEVICE inline void wait_for_copies() {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}

/// The dot product of two words of packed numbers, added to `sum`.
template <StoredNumber Number>
SJD_DEVICE inline float add_product(float sum, std::uint32_t a, std::uint32_t b) {
  if constexpr (std::same_as<Number, float>) {
    return sum + std::bit_cast<float>(a) * std::bit_cast<float>(b);
  } else {
    sum += std::bit_cast<float>(a << 16U) * std::bit_cast<float>(b << 16U);
    return sum + std::bit_cast<float>(a & 0xFFFF0000U) * std::bit_cast<float>(b & 0xFFFF0000U);
  }
}

#if defined(__CUDA_ARCH__)
/// One tile on the tensor cores: c += a b.
__device__ inline void multiply_tile(const std::uint32_t (&a)[4], std::uint32_t b0,
                                     std::uint32_t b1, float (&c)[4]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

/// The outputs of one thread from the operands as they lie in shared memory.
template <StoredNumber Number, int Words, std::size_t Tiles, class A, class B>
SJD_DEVICE void multiply_by_words(const A& a, const B& b, TileLane at, float (&c)[Tiles][4]) {
  for (int word = 0; word < Words; ++word) {
    const std::uint32_t upper = a(at.line, word);
    const std::uint32_t lower = a(at.line + 8, word);
    SJD_DEVICE_UNROLL
    for (int tile = 0; tile < static_cast<int>(Tiles); ++tile) {
      const std::uint32_t left = b(8 * tile + 2 * at.pair, word);
      const std::uint32_t right = b(8 * tile + 2 * at.pair + 1, word);
      c[tile][0] = add_product<Number>(c[tile][0], upper, left);
      c[tile][1] = add_product<Number>(c[tile][1], upper, right);
      c[tile][2] = add_product<Number>(c[tile][2], lower, left);
      c[tile][3] = add_product<Number>(c[tile][3], lower, right);
    }
  }
}

#if defined(__CUDA_ARCH__)
/// The same on the tensor cores, operands in the fragments that they take.
template <int Words, std::size_t Tiles, class A, class B>
__device__ void multiply_by_tiles(const A& a, const B& b, TileLane at, float (&c)[Tiles][4]) {
  SJD_DEVICE_UNROLL
  for (int first = 0; first < Words; first += 8) {
    const int word = first + at.pair;
    const std::uint32_t part[4] = {a(at.line, word), a(at.line + 8, word), a(at.line, word + 4),
                                   a(at.line + 8, word + 4)};
    SJD_DEVICE_UNROLL
    for (int tile = 0; tile < static_cast<int>(Tiles); ++tile) {
      const int column = 8 * tile + at.line;
      multiply_tile(part, b(column, word), b(column, word + 4), c[tile]);
    }
  }
}
#endif

/// c += A B for the 32 threads of a warp at once: tensor cores for bf16 on a device. The host
/// executor computes the outputs of one thread from the same shared memory, so nothing passes
/// between threads within a phase.
///
/// shapes  A [16, K], a(line, word) its numbers `word` * pack_size and the next; B [K, 8 Tiles],
///         b(column, word) likewise along K; c [Tiles][4] rows line, line + 8 of columns pair
/// order   threads of a warp call it together
template <StoredNumber Number, int K, std::size_t Tiles, class A, class B>
SJD_DEVICE void multiply(const A& a, const B& b, TileLane at, float (&c)[Tiles][4]) {
  constexpr int words = K / pack_size<Number>;
#if defined(__CUDA_ARCH__)
  if constexpr (std::same_as<Number, Bf16>) {
    multiply_by_tiles<words>(a, b, at, c);
  } else {
    multiply_by_words<Number, words>(a, b, at, c);
  }
#else
  multiply_by_words<Number, words>(a, b, at, c);
#endif
}

}  // namespace sjd::cuda::detail
