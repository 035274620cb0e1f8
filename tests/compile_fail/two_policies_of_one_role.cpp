// SPDX-License-Identifier: Apache-2.0
// expected: sjd: two policies play the same role; give one policy a role
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
  void forward(const sjd::ForwardPass<>&) {}
};

#if defined(SJD_COMPILES)
using Second = sjd::NoGrammar;
#else
using Second = sjd::MaximalCoupling;
#endif

void use(Engine& engine) {
  sjd::SpeculativeJacobiDenoiser denoiser{engine, sjd::FreshRedraw{}, Second{}};
}
