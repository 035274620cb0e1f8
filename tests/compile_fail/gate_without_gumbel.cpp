// SPDX-License-Identifier: Apache-2.0
// expected: sjd: this random gate has no Gumbel noise; use a quantile policy with it
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
  void forward(const sjd::ForwardPass<>&) {}
};

struct Gate {
  bool bernoulli(sjd::DrawKey, sjd::uint128, sjd::uint128) { return true; }
  sjd::TokenId categorical(sjd::DrawKey, const sjd::TokenLaw&) { return 0; }
  std::int64_t weighted(sjd::DrawKey, std::span<const sjd::uint128>) { return 0; }
  void gaussian(sjd::DrawKey, std::span<float>) {}
  sjd::TokenId quantile(sjd::Position, const sjd::TokenLaw&) { return 0; }
#if defined(SJD_COMPILES)
  sjd::TokenId gumbel(sjd::Position, const sjd::TokenLaw&) { return 0; }
#endif
};
struct Random {
  using role = sjd::role::random;
  Gate gate(std::uint64_t, std::uint64_t) const { return {}; }
};

void use(Engine& engine) {
  sjd::SpeculativeJacobiDenoiser denoiser{engine, sjd::GumbelEquality{}, sjd::FreshRedraw{},
                                          Random{}};
  static_cast<void>(denoiser.generate({.tokens = 4}));
}
