// SPDX-License-Identifier: Apache-2.0
// expected: sjd::TokenModel: model.forward(pass) is missing; it runs the rows of one pass and writes their logits
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
#if defined(SJD_COMPILES)
  void forward(const sjd::ForwardPass<>&) {}
#endif
};

void use(Engine& engine) { sjd::SpeculativeJacobiDenoiser denoiser{engine}; }
