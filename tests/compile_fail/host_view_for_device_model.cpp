// SPDX-License-Identifier: Apache-2.0
// expected: sjd::TokenModel: model.prefill(sequence, prompt, logits) is missing
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::DeviceMemory;
  using Prompt = int;
#if defined(SJD_COMPILES)
  using Logits = sjd::MatrixView<float, sjd::DeviceMemory>;
#else
  using Logits = sjd::MatrixView<float>;
#endif
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, Logits) {}
  void forward(const sjd::ForwardPass<Memory>&) {}
  void* allocate(std::size_t) { return nullptr; }
  void deallocate(void*) {}
  void upload(void*, const void*, std::size_t) {}
  void download(void*, const void*, std::size_t) {}
};

void use(Engine& engine) { sjd::SpeculativeJacobiDenoiser denoiser{engine}; }
