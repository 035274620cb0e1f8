// SPDX-License-Identifier: Apache-2.0
// expected: sjd::TokenModel: model.vocab_size() is missing; it is the size of the image vocabulary
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = int;
#if defined(SJD_COMPILES)
  std::int64_t vocab_size() const { return 2; }
#endif
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
  void forward(const sjd::ForwardPass<>&) {}
};

void use(Engine& engine) { sjd::SpeculativeJacobiDenoiser denoiser{engine}; }
