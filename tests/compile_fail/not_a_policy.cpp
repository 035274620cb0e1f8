// SPDX-License-Identifier: Apache-2.0
// expected: sjd: an argument behind the model is not a policy; a policy names its role with using role = sjd::role::...
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
  void forward(const sjd::ForwardPass<>&) {}
};

struct Window {
#if defined(SJD_COMPILES)
  using role = sjd::role::window;
#endif
  std::int64_t rows(std::int64_t, std::int64_t) const { return 1; }
  std::int64_t capacity() const { return 1; }
};

void use(Engine& engine) { sjd::SpeculativeJacobiDenoiser denoiser{engine, Window{}}; }
