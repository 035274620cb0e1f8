// SPDX-License-Identifier: Apache-2.0
// expected: sjd::TokenModel: model.max_sequences() is missing; it says how many sequences one pass may carry
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
#if defined(SJD_COMPILES)
  std::int64_t max_sequences() const { return 1; }
#endif
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
  void forward(const sjd::ForwardPass<>&) {}
};

void use(Engine& engine) { sjd::SpeculativeJacobiDenoiser denoiser{engine}; }
