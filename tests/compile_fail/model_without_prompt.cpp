// SPDX-License-Identifier: Apache-2.0
// expected: sjd::TokenModel: the type Prompt is missing; it is what prefill conditions on
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
#if defined(SJD_COMPILES)
  using Prompt = int;
#endif
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
  void forward(const sjd::ForwardPass<>&) {}
};

void use(Engine& engine) { sjd::SpeculativeJacobiDenoiser denoiser{engine}; }
