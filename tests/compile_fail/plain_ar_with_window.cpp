// SPDX-License-Identifier: Apache-2.0
// expected: sjd::PlainAr: it takes an acceptance criterion for its sampler, a grammar and a random
// policy; it has no window that another policy could move
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
  void forward(const sjd::ForwardPass<>&) {}
};

void use(Engine& engine) {
#if defined(SJD_COMPILES)
  sjd::PlainAr decoder{engine, sjd::GumbelEquality{}};
#else
  sjd::PlainAr decoder{engine, sjd::FixedWindow{.tokens = 64}};
#endif
}
