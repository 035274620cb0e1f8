// SPDX-License-Identifier: Apache-2.0
// G6 in part: what the products of a 7B model cost for as many rows as a window has, beside one row
// a branch. The matrices of every layer are separate memory; attention is there only as a read of
// as many bytes as its cache has. No model is run.
#include <cublasLt.h>
#include <cuda_runtime.h>

#include <array>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "device_batch.cuh"
#include "gpu_lines.hpp"
#include "gpu_measure.cuh"

namespace sjd::bench {
namespace {

constexpr int skipped = 77;
constexpr std::int64_t layers = 32;
constexpr std::int64_t hidden = 4096;
constexpr std::int64_t intermediate = 11008;
constexpr std::int64_t head = 8192;  // image vocabulary
constexpr std::int64_t branches = 2;
constexpr std::int64_t context = 1024;  // tokens that a branch has behind it

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw std::runtime_error(std::string{what} + ": " + cublasLtGetStatusString(status));
  }
}

/// y [M, outputs] = x [M, inputs] w^T, w [outputs, inputs]; bf16, sums in fp32.
class Product {
 public:
  Product(cublasLtHandle_t handle, std::int64_t m, std::int64_t inputs, std::int64_t outputs,
          std::size_t workspace)
      : handle_{handle} {
    check(cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    check(cublasLtMatmulDescSetAttribute(product_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                         sizeof transposed),
          "a product");
    const auto layout = [](std::int64_t rows, std::int64_t columns) {
      cublasLtMatrixLayout_t made = nullptr;
      check(cublasLtMatrixLayoutCreate(&made, CUDA_R_16BF, static_cast<std::uint64_t>(rows),
                                       static_cast<std::uint64_t>(columns), rows),
            "a layout");
      return made;
    };
    w_ = layout(inputs, outputs);  // column-major, as cuBLAS reads our rows
    x_ = layout(inputs, m);
    y_ = layout(outputs, m);
    cublasLtMatmulPreference_t preference = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference), "a preference");
    check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &workspace, sizeof workspace),
          "a preference");
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle, product_, w_, x_, y_, y_, preference, 1, &best_,
                                         &found),
          "an algorithm");
    cublasLtMatmulPreferenceDestroy(preference);
    if (found == 0) throw std::runtime_error("cuBLASLt knows no algorithm for this product");
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;
  ~Product() {
    cublasLtMatrixLayoutDestroy(y_);
    cublasLtMatrixLayoutDestroy(x_);
    cublasLtMatrixLayoutDestroy(w_);
    cublasLtMatmulDescDestroy(product_);
  }

  void operator()(cudaStream_t stream, const cuda::Bf16* w, const cuda::Bf16* x, cuda::Bf16* y,
                  const DeviceArray<char>& workspace) const {
    const float one = 1.0F;
    const float zero = 0.0F;
    check(cublasLtMatmul(handle_, product_, &one, w, w_, x, x_, &zero, y, y_, y, y_, &best_.algo,
                         workspace.data, workspace.size, stream),
          "a product");
  }

 private:
  cublasLtHandle_t handle_;
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t w_ = nullptr;
  cublasLtMatrixLayout_t x_ = nullptr;
  cublasLtMatrixLayout_t y_ = nullptr;
  cublasLtMatmulHeuristicResult_t best_{};
};

/// Reads `count` pieces of 16 bytes; the sum is written only if it is a value that it never is.
__global__ void read_kernel(const uint4* from, std::int64_t count, unsigned* to) {
  unsigned sum = 0;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
    const uint4 four = from[i];
    sum |= four.x | four.y | four.z | four.w;
  }
  if (sum == 0xFFFFFFFFU) *to = sum;
}

/// Weights and caches of all layers; what they hold does not matter to time but is not zero, since
/// zeros draw less power.
class Model {
 public:
  Model() {
    check(cublasLtCreate(&handle_), "cuBLASLt");
    std::vector<std::uint16_t> pattern(std::size_t{1} << 20);
    std::uint32_t state = 1;
    for (auto& bits : pattern) {
      state = state * 1664525U + 1013904223U;
      bits = static_cast<std::uint16_t>(0x3C00U | ((state >> 16) & 0x83FFU));  // about 0.01, signed
    }
    for (std::size_t begin = 0; begin < weights_.size; begin += pattern.size()) {
      const std::size_t count = std::min(pattern.size(), weights_.size - begin);
      cuda::check(cudaMemcpy(weights_.data + begin, pattern.data(), 2 * count, cudaMemcpyDefault),
                  "the weights");
    }
    cuda::check(cudaMemcpy(rows_.data, pattern.data(), 2 * pattern.size(), cudaMemcpyDefault),
                "the rows");
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  ~Model() { cublasLtDestroy(handle_); }

  /// The products of one forward pass of m rows, and the read of the cache.
  [[nodiscard]] Graph forward(std::int64_t m) {
    const auto product = [&](std::int64_t inputs, std::int64_t outputs) {
      return std::make_shared<Product>(handle_, m, inputs, outputs, workspace_.size);
    };
    const std::array<std::shared_ptr<Product>, 4> parts{
        product(hidden, 3 * hidden), product(hidden, hidden), product(hidden, 2 * intermediate),
        product(intermediate, hidden)};
    const std::array<std::int64_t, 4> sizes{3 * hidden * hidden, hidden * hidden,
                                            2 * intermediate * hidden, intermediate * hidden};
    const auto last = product(hidden, head);
    return Graph{1, [&](cudaStream_t stream, int) {
                   const cuda::Bf16* w = weights_.data;
                   for (std::int64_t layer = 0; layer < layers; ++layer) {
                     for (std::size_t i = 0; i < parts.size(); ++i) {
                       (*parts[i])(stream, w, rows_.data, out_.data, workspace_);
                       w += sizes[i];
                     }
                     read_kernel<<<264, 512, 0, stream>>>(cache_.data + layer * cache_pieces,
                                                          cache_pieces, sink_.data);
                   }
                   (*last)(stream, w, rows_.data, out_.data, workspace_);
                 }};
  }

  [[nodiscard]] double bytes() const {
    return 2.0 * static_cast<double>(weights_.size) + 16.0 * static_cast<double>(cache_.size);
  }

 private:
  static constexpr std::int64_t layer_size = hidden * (4 * hidden + 3 * intermediate);
  static constexpr std::int64_t cache_pieces = branches * context * 2 * hidden * 2 / 16;
  static constexpr std::size_t most_rows = 256;

  cublasLtHandle_t handle_ = nullptr;
  DeviceArray<cuda::Bf16> weights_{static_cast<std::size_t>(layers * layer_size + head * hidden)};
  DeviceArray<uint4> cache_{static_cast<std::size_t>(layers * cache_pieces)};
  DeviceArray<cuda::Bf16> rows_{most_rows * intermediate};
  DeviceArray<cuda::Bf16> out_{most_rows * 2 * intermediate};
  DeviceArray<unsigned> sink_{1};
  DeviceArray<char> workspace_{std::size_t{64} << 20};
};

void time_all(GpuResults& results) {
  constexpr std::array<std::int64_t, 7> windows{1, 8, 16, 32, 64, 80, 128};
  DeviceClock clock;
  const double speed = copy_speed(clock);
  Model model;
  std::vector<Graph> graphs;
  for (const std::int64_t window : windows) graphs.push_back(model.forward(branches * window));
  const auto times = clock.rounds(graphs);
  GpuLine line{.id = "G6", .who = "sjd", .unit = "us"};
  line.note = "7B shape, products and a cache-sized read only";
  line.least = model.bytes() / speed;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    line.shape = i == 0 ? "AR" : "W " + std::to_string(windows[i]);
    results.lines.push_back(summed_up(line, times[i]));
  }
  line.least.reset();
  line.unit = "x";
  for (std::size_t i = 1; i < windows.size(); ++i) {
    std::vector<double> ratios;
    for (std::size_t r = 0; r < times[0].size(); ++r) ratios.push_back(times[i][r] / times[0][r]);
    line.shape = "W " + std::to_string(windows[i]) + " over AR";
    line.target = windows[i] == 80 ? std::optional{1.20} : std::nullopt;
    results.lines.push_back(summed_up(line, ratios));
  }
}

int run(const char* path) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::puts("skipped: no CUDA device");
    return skipped;
  }
  GpuResults results;
  time_all(results);
  std::ofstream file{path};
  write_lines(file, results);
  file.close();
  if (!file) throw std::runtime_error(std::string{path} + ": cannot be written");
  return 0;
}

}  // namespace
}  // namespace sjd::bench

/// gpu_products FILE.tsv
int main(int count, char** words) {
  if (count != 2) {
    std::fprintf(stderr, "gpu_products FILE.tsv\n");
    return 64;
  }
  try {
    return sjd::bench::run(words[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_products: %s\n", error.what());
    return 1;
  }
}
