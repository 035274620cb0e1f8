// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#include <type_traits>

#include "sjd/cuda/launch.hpp"
#include "sjd/cuda/rows.hpp"

namespace sjd::cuda {

/// The driver or the runtime refused something; what() holds its own words.
class CudaError : public std::runtime_error {
 public:
  CudaError(cudaError_t code, const char* what)
      : std::runtime_error{std::string{what} + ": " + cudaGetErrorString(code)}, code_{code} {}
  [[nodiscard]] cudaError_t code() const noexcept { return code_; }

 private:
  cudaError_t code_;
};

/// Throws CudaError unless `code` is success.
inline void check(cudaError_t code, const char* what) {
  if (code != cudaSuccess) throw CudaError{code, what};
}

/// One block of a launch, as kernel bodies see it.
template <class Kernel>
class DeviceBlock {
 public:
  using Shared = typename Kernel::Shared;

  SJD_DEVICE DeviceBlock(Shared* shared, std::uint32_t* words) {
    thread_.index = static_cast<int>(threadIdx.x);
    thread_.count = static_cast<int>(blockDim.x);
    thread_.shared = shared;
    thread_.words = words;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    thread_.rank = static_cast<int>(__clusterRelativeBlockRank());
    thread_.ranks = static_cast<int>(__clusterSizeInBlocks());
#endif
  }

  [[nodiscard]] SJD_DEVICE std::int64_t cluster() const {
    return blockIdx.x / static_cast<unsigned>(thread_.ranks);
  }
  [[nodiscard]] SJD_DEVICE int blocks() const {
    return thread_.ranks;
  }

  template <class Phase>
  SJD_DEVICE void phase(const Phase& phase) {
    work(phase);
    __syncthreads();
  }
  template <class Phase>
  SJD_DEVICE void cluster_phase(const Phase& phase) {
    work(phase);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    if (thread_.ranks > 1) {
      __cluster_barrier_arrive();
      __cluster_barrier_wait();
      return;
    }
#endif
    __syncthreads();
  }
  template <class Question>
  SJD_DEVICE bool ask(const Question& question) const {
    const bool answer = question(*thread_.shared);
    __syncthreads();  // before the next phase may change it
    return answer;
  }

 private:
  template <class Phase>
  SJD_DEVICE void work(const Phase& phase) {
    if constexpr (std::is_invocable_v<Phase, const Thread<Shared>&, OwnOf<Kernel>&>) {
      phase(thread_, own_);
    } else {
      phase(thread_);
    }
  }

  Thread<Shared> thread_;
  OwnOf<Kernel> own_;
};

/// Blocks of a kernel that one multiprocessor should hold, by which registers are given out; 0
/// leaves it to the compiler.
template <class Kernel>
inline constexpr int blocks_at_once = [] {
  if constexpr (requires { Kernel::blocks_at_once; }) return Kernel::blocks_at_once;
  return 0;
}();

template <class Kernel>
__global__ void __launch_bounds__(most_threads, blocks_at_once<Kernel>)
    phase_kernel(const __grid_constant__ typename Kernel::Arguments arguments) {
  __shared__ alignas(16) unsigned char fixed[sizeof(typename Kernel::Shared)];
  extern __shared__ __align__(16) std::uint32_t sjd_words[];
  DeviceBlock<Kernel> block{reinterpret_cast<typename Kernel::Shared*>(fixed), sjd_words};
  Kernel::run(block, arguments);
}

/// Launches kernels on one CUDA stream; can be captured into a graph.
///
/// memory  borrows the stream
/// errors  CudaError if a launch is refused
class Stream {
 public:
  explicit Stream(cudaStream_t stream = nullptr) : stream_{stream} {}

  [[nodiscard]] cudaStream_t raw() const noexcept { return stream_; }

  template <class Kernel>
  void launch(const Geometry& geometry, const typename Kernel::Arguments& arguments) {
    if (geometry.clusters == 0) return;
    const auto* entry = reinterpret_cast<const void*>(&phase_kernel<Kernel>);
    const std::size_t bytes = geometry.words * sizeof(std::uint32_t);
    check(cudaFuncSetAttribute(entry, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(bytes)),
          "shared memory of a kernel");
    cudaLaunchConfig_t config{};
    config.gridDim = dim3{static_cast<unsigned>(geometry.clusters * geometry.blocks)};
    config.blockDim = dim3{static_cast<unsigned>(geometry.threads)};
    config.dynamicSmemBytes = bytes;
    config.stream = stream_;
    cudaLaunchAttribute cluster{};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = static_cast<unsigned>(geometry.blocks);
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    config.attrs = &cluster;
    config.numAttrs = geometry.blocks > 1 ? 1 : 0;
    check(cudaLaunchKernelEx(&config, &phase_kernel<Kernel>, arguments), "launching a kernel");
  }

 private:
  cudaStream_t stream_;
};

/// What the current device can give the rows kernel.
///
/// errors  CudaError without a device
[[nodiscard]] inline DeviceLimits device_limits() {
  int device = 0, major = 0, shared = 0, processors = 0;
  check(cudaGetDevice(&device), "the current device");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "capability");
  check(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "shared memory");
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device),
        "multiprocessors");
  return {major >= 9, shared, processors};
}

}  // namespace sjd::cuda
