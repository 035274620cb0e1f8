// SPDX-License-Identifier: Apache-2.0
// expected: sjd::WindowPolicy: rows(committed, total) or rows(history), or capacity() is missing;
// see policies/window.hpp
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
  void forward(const sjd::ForwardPass<>&) {}
};

struct Halves {
  using role = sjd::role::window;
  std::int64_t rows(std::int64_t committed, std::int64_t total) const {
    return (total - committed + 1) / 2;
  }
#if defined(SJD_COMPILES)
  std::int64_t capacity() const {
    return 1'000;
  }
#endif
};

void use(Engine& engine) {
  sjd::SpeculativeJacobiDenoiser denoiser{engine, Halves{}, sjd::NoNoise{}};
}
