// SPDX-License-Identifier: Apache-2.0
// expected: sjd::TokenModel: model.prefill(sequence, prompt, logits) is missing; it runs a prompt and writes the first logits of every guidance branch
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
#if defined(SJD_COMPILES)
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
#endif
  void forward(const sjd::ForwardPass<>&) {}
};

void use(Engine& engine) { sjd::SpeculativeJacobiDenoiser denoiser{engine}; }
