// SPDX-License-Identifier: Apache-2.0
// The part of paint that nvcc compiles: a library that load_cuda_engine opens.
#include <cstdio>
#include <sjd/hosts/llama_cuda.cuh>

#include "engine_cuda.hpp"
#include "staged_engine.hpp"

/// See MakeCudaEngine. Errors of the model files pass through.
extern "C" __attribute__((visibility("default"))) sjd::paint::Engine* sjd_paint_make_cuda_engine(
    const char* directory, const char* weights_file, std::int64_t sequences, char* why) {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess || count == 0) {
    std::snprintf(why, sjd::paint::why_size, "no CUDA device (%s)",
                  code != cudaSuccess ? cudaGetErrorString(code) : "the driver lists none");
    return nullptr;
  }
  return new sjd::paint::StagedEngine<sjd::hosts::CudaBackend, sjd::cuda::Bf16>{
      directory, weights_file, sequences};
}
