// SPDX-License-Identifier: Apache-2.0
// expected: sjd::TokenModel: a device model needs model.allocate(bytes), model.deallocate(pointer), model.upload(device, host, bytes) and model.download(host, device, bytes)
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::DeviceMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, sjd::MatrixView<float, Memory>) {}
  void forward(const sjd::ForwardPass<Memory>&) {}
#if defined(SJD_COMPILES)
  void* allocate(std::size_t) { return nullptr; }
  void deallocate(void*) {}
  void upload(void*, const void*, std::size_t) {}
  void download(void*, const void*, std::size_t) {}
#endif
};

void use(Engine& engine) { sjd::SpeculativeJacobiDenoiser denoiser{engine}; }
