// SPDX-License-Identifier: Apache-2.0
// expected: sjd::TokenModel: the type Memory is missing; it is sjd::HostMemory or sjd::DeviceMemory, where logits and embeddings live
#include <sjd/sjd.hpp>

struct Engine {
#if defined(SJD_COMPILES)
  using Memory = sjd::HostMemory;
#endif
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
  void forward(const sjd::ForwardPass<>&) {}
};

void use(Engine& engine) { sjd::SpeculativeJacobiDenoiser denoiser{engine}; }
