// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "sjd/cuda/stream.cuh"
#include "sjd/hosts/llama_cuda.hpp"

namespace sjd::hosts {

/// cuBLAS refused something; what() holds its own words.
class BlasError : public std::runtime_error {
 public:
  BlasError(cublasStatus_t status, const char* what)
      : std::runtime_error{std::string{what} + ": " + cublasGetStatusString(status)} {}
};

/// Throws BlasError unless `status` is success.
inline void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw BlasError{status, what};
}

/// The current CUDA device as the machine of a LlamaCuda: a stream of its own, cuBLAS for products.
///
/// Products can be captured: cuBLAS gets a workspace once and never allocates. Run one pass before
/// a capture, so that every kernel is loaded.
///
/// memory  64 MiB of workspace
/// errors  cuda::CudaError without a device, BlasError, std::bad_alloc
class CudaBackend {
 public:
  using Launcher = cuda::Stream;

  CudaBackend() : multiprocessors_{cuda::device_limits().multiprocessors} {
    try {
      cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
      launcher_ = cuda::Stream{stream_};
      workspace_ = allocate(workspace_bytes);
      check(cublasCreate(&blas_), "cuBLAS");
      bind(stream_);
    } catch (...) {
      release();
      throw;
    }
  }
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;
  ~CudaBackend() { release(); }

  [[nodiscard]] Launcher& launcher() { return launcher_; }
  [[nodiscard]] std::int64_t multiprocessors() const { return multiprocessors_; }

  [[nodiscard]] static void* allocate(std::size_t bytes) {
    void* memory = nullptr;
    const cudaError_t code = cudaMalloc(&memory, bytes);
    if (code == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // the next call must not find it
      throw std::bad_alloc{};
    }
    cuda::check(code, "device memory");
    return memory;
  }
  static void deallocate(void* memory) { cudaFree(memory); }

  void clear(void* to, std::size_t bytes) {
    cuda::check(cudaMemsetAsync(to, 0, bytes, stream_), "clearing memory");
  }
  void upload(void* to, const void* from, std::size_t bytes) {
    cuda::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "an upload");
    // Pinned memory is read later than the call returns.
    cuda::check(cudaStreamSynchronize(stream_), "an upload");
  }
  void download(void* to, const void* from, std::size_t bytes) {
    cuda::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "a download");
    cuda::check(cudaStreamSynchronize(stream_), "a download");
  }

  template <StoredNumber Number, class Out>
  void product(Launcher& launcher, const MatrixProduct<Number, Out>& p) {
    if (launcher.raw() != bound_) bind(launcher.raw());
    const float one = 1.0F;
    const float kept = p.accumulate ? 1.0F : 0.0F;
    // cuBLAS counts by columns: it computes y^T [outputs, rows] from weight^T and x^T.
    check(cublasGemmEx_64(blas_, CUBLAS_OP_T, CUBLAS_OP_N, p.outputs, p.rows, p.inputs, &one,
                          p.weight, type_of<Number>(), p.inputs, p.x, type_of<Number>(), p.inputs,
                          &kept, p.y, type_of<Out>(), p.stride, CUBLAS_COMPUTE_32F,
                          CUBLAS_GEMM_DEFAULT),
          "a matrix product");
  }

 private:
  static constexpr std::size_t workspace_bytes = std::size_t{64} << 20U;

  template <class T>
  static constexpr cudaDataType_t type_of() {
    return std::is_same_v<T, float> ? CUDA_R_32F : CUDA_R_16BF;
  }

  /// A change of stream takes the workspace away.
  void bind(cudaStream_t stream) {
    check(cublasSetStream(blas_, stream), "the stream of cuBLAS");
    check(cublasSetWorkspace(blas_, workspace_, workspace_bytes), "the workspace of cuBLAS");
    bound_ = stream;
  }

  void release() noexcept {
    if (blas_ != nullptr) cublasDestroy(blas_);
    cudaFree(workspace_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  std::int64_t multiprocessors_;
  cudaStream_t stream_ = nullptr;
  cuda::Stream launcher_;
  void* workspace_ = nullptr;
  cublasHandle_t blas_ = nullptr;
  cudaStream_t bound_ = nullptr;
};

}  // namespace sjd::hosts
