// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/device/device_segmented_radix_sort.cuh>
#include <vector>

#include "device_batch.cuh"

/// The same draw as the rows kernel, as one writes it from parts: every stage a kernel, every
/// stage's result in memory. A stand-in for sampling libraries that are not on a machine.
namespace sjd::bench {

inline constexpr int chain_threads = 1024;

struct Maximum {
  __device__ float operator()(float a, float b) const { return a > b ? a : b; }
};

/// One value for all threads; `shared` may be used again after it.
template <class Operation>
__device__ float reduce_to_all(float value, Operation operation) {
  using Reduce = cub::BlockReduce<float, chain_threads>;
  __shared__ typename Reduce::TempStorage shared;
  __shared__ float result;
  const float own = Reduce{shared}.Reduce(value, operation);
  if (threadIdx.x == 0) result = own;
  __syncthreads();
  const float all = result;
  __syncthreads();
  return all;
}

struct Plus {
  __device__ float operator()(float a, float b) const { return a + b; }
};

__device__ inline float widened(cuda::Bf16 value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16U);
}

/// logits [2, rows, vocab] bf16 -> z [rows, vocab] = u + scale (c - u), ids 0 .. vocab - 1
static __global__ void mix_kernel(const cuda::Bf16* logits, float scale, std::int64_t vocab,
                                  float* z, std::int32_t* ids) {
  const std::int64_t rows = gridDim.x;
  const std::int64_t begin = blockIdx.x * vocab;
  for (std::int64_t i = threadIdx.x; i < vocab; i += blockDim.x) {
    const float c = widened(logits[begin + i]);
    const float u = widened(logits[rows * vocab + begin + i]);
    z[begin + i] = u + scale * (c - u);
    ids[begin + i] = static_cast<std::int32_t>(i);
  }
}

/// z [rows, vocab] -> p = softmax(z), in place
static __global__ void softmax_kernel(std::int64_t vocab, float* z) {
  float* row = z + blockIdx.x * vocab;
  float most = -INFINITY;
  for (std::int64_t i = threadIdx.x; i < vocab; i += blockDim.x) most = fmaxf(most, row[i]);
  most = reduce_to_all(most, Maximum{});
  float sum = 0.0F;
  for (std::int64_t i = threadIdx.x; i < vocab; i += blockDim.x) sum += __expf(row[i] - most);
  sum = reduce_to_all(sum, Plus{});
  for (std::int64_t i = threadIdx.x; i < vocab; i += blockDim.x) {
    row[i] = __expf(row[i] - most) / sum;
  }
}

/// Keeps the probabilities above a threshold that bisection finds: at least top_k of them, and no
/// more unless they are equal to float precision.
static __global__ void top_k_kernel(std::int64_t vocab, std::int64_t top_k, float* p) {
  float* row = p + blockIdx.x * vocab;
  float most = 0.0F;
  for (std::int64_t i = threadIdx.x; i < vocab; i += blockDim.x) most = fmaxf(most, row[i]);
  float low = 0.0F;  // at least top_k are above
  float high = reduce_to_all(most, Maximum{});
  for (int step = 0; step < 40; ++step) {
    const float middle = 0.5F * (low + high);
    float above = 0.0F;
    for (std::int64_t i = threadIdx.x; i < vocab; i += blockDim.x) above += row[i] > middle;
    above = reduce_to_all(above, Plus{});
    (above >= static_cast<float>(top_k) ? low : high) = middle;
    if (above == static_cast<float>(top_k)) break;
  }
  float sum = 0.0F;
  for (std::int64_t i = threadIdx.x; i < vocab; i += blockDim.x) sum += row[i] > low ? row[i] : 0;
  sum = reduce_to_all(sum, Plus{});
  for (std::int64_t i = threadIdx.x; i < vocab; i += blockDim.x) {
    row[i] = row[i] > low ? row[i] / sum : 0.0F;
  }
}

/// The first i with p_0 + .. + p_i > uniform x sum: p [rows, stride], of which `count` are read;
/// ids name them, or are null.
static __global__ void draw_kernel(const float* p, const std::int32_t* ids, std::int64_t stride,
                                   std::int64_t count, const float* uniform, std::int32_t* tokens) {
  using Scan = cub::BlockScan<float, chain_threads>;
  __shared__ typename Scan::TempStorage shared;
  __shared__ int found;
  const float* row = p + blockIdx.x * stride;
  float sum = 0.0F;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += row[i];
  const float goal = uniform[blockIdx.x] * reduce_to_all(sum, Plus{});
  if (threadIdx.x == 0) found = 0x7fffffff;
  float before = 0.0F;
  for (std::int64_t begin = 0; begin < count; begin += blockDim.x) {
    const std::int64_t i = begin + threadIdx.x;
    float prefix = 0.0F;
    float total = 0.0F;
    Scan{shared}.InclusiveSum(i < count ? row[i] : 0.0F, prefix, total);
    __syncthreads();
    if (i < count && row[i] > 0.0F && before + prefix > goal) {
      atomicMin(&found, static_cast<int>(i));
    }
    __syncthreads();
    if (found != 0x7fffffff) break;
    before += total;
  }
  if (threadIdx.x != 0) return;
  const std::int64_t at = found == 0x7fffffff ? 0 : found;
  tokens[blockIdx.x] =
      ids == nullptr ? static_cast<std::int32_t>(at) : ids[blockIdx.x * stride + at];
}

/// Memory and launches of the chains for logits [2, rows, vocab].
class Chains {
 public:
  Chains(std::int64_t rows, std::int64_t vocab, std::int64_t top_k)
      : rows_{rows},
        vocab_{vocab},
        top_k_{top_k},
        z_{size()},
        sorted_{size()},
        ids_{size()},
        sorted_ids_{size()},
        tokens_{static_cast<std::size_t>(rows)},
        uniform_{std::vector<float>(static_cast<std::size_t>(rows), 0.37F)},
        ends_{offsets(rows, vocab)},
        workspace_{workspace_bytes()} {}

  /// mix, softmax, threshold by bisection, draw: four kernels.
  void bisect(cudaStream_t stream, const cuda::Bf16* logits) const {
    mix(stream, logits);
    const auto blocks = static_cast<unsigned>(rows_);
    softmax_kernel<<<blocks, chain_threads, 0, stream>>>(vocab_, z_.data);
    top_k_kernel<<<blocks, chain_threads, 0, stream>>>(vocab_, top_k_, z_.data);
    draw(stream, z_.data, nullptr, vocab_);
  }

  /// mix, segmented radix sort, softmax of the whole row, draw from its first top_k.
  void sort(cudaStream_t stream, const cuda::Bf16* logits) const {
    mix(stream, logits);
    std::size_t bytes = workspace_.size;
    cuda::check(sort_pairs(workspace_.data, bytes, stream), "sorting");
    softmax_kernel<<<static_cast<unsigned>(rows_), chain_threads, 0, stream>>>(vocab_,
                                                                               sorted_.data);
    draw(stream, sorted_.data, sorted_ids_.data, top_k_);
  }

  [[nodiscard]] std::vector<std::int32_t> tokens() const {
    std::vector<std::int32_t> tokens(tokens_.size);
    cuda::check(cudaMemcpy(tokens.data(), tokens_.data, tokens.size() * sizeof(std::int32_t),
                           cudaMemcpyDefault),
                "the tokens");
    return tokens;
  }

 private:
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(rows_ * vocab_); }

  static std::vector<std::int64_t> offsets(std::int64_t rows, std::int64_t vocab) {
    std::vector<std::int64_t> ends;
    for (std::int64_t row = 0; row <= rows; ++row) ends.push_back(row * vocab);
    return ends;
  }

  cudaError_t sort_pairs(void* workspace, std::size_t& bytes, cudaStream_t stream) const {
    return cub::DeviceSegmentedRadixSort::SortPairsDescending(
        workspace, bytes, z_.data, sorted_.data, ids_.data, sorted_ids_.data, rows_ * vocab_, rows_,
        ends_.data, ends_.data + 1, 0, 32, stream);
  }

  [[nodiscard]] std::size_t workspace_bytes() const {
    std::size_t bytes = 0;
    cuda::check(sort_pairs(nullptr, bytes, nullptr), "sorting");
    return bytes;
  }

  void mix(cudaStream_t stream, const cuda::Bf16* logits) const {
    mix_kernel<<<static_cast<unsigned>(rows_), chain_threads, 0, stream>>>(logits, 3.0F, vocab_,
                                                                           z_.data, ids_.data);
  }

  void draw(cudaStream_t stream, const float* p, const std::int32_t* ids,
            std::int64_t count) const {
    draw_kernel<<<static_cast<unsigned>(rows_), chain_threads, 0, stream>>>(
        p, ids, vocab_, count, uniform_.data, tokens_.data);
  }

  std::int64_t rows_;
  std::int64_t vocab_;
  std::int64_t top_k_;
  DeviceArray<float> z_;                  // [rows, vocab]
  DeviceArray<float> sorted_;             // [rows, vocab]
  DeviceArray<std::int32_t> ids_;         // [rows, vocab]
  DeviceArray<std::int32_t> sorted_ids_;  // [rows, vocab]
  DeviceArray<std::int32_t> tokens_;      // [rows]
  DeviceArray<float> uniform_;            // [rows]
  DeviceArray<std::int64_t> ends_;        // [rows + 1]
  DeviceArray<char> workspace_;
};

}  // namespace sjd::bench
