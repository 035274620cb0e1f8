// SPDX-License-Identifier: Apache-2.0
// The three kernels on the host executor walk through whole decodes exactly as the CPU decoder
// does: tokens, windows, laws, noise and counters, after every pass, in a ragged batch.
#include <cstdint>
#include <string>

#include "cuda/decode_cases.hpp"
#include "sjd/cuda/launch.hpp"
#include "support/catch.hpp"

namespace sjd::test {
namespace {

using cuda::DrawKind;
using cuda::Judge;
using cuda::Refresh;

/// Runs a step on the host executor, every time in another order.
struct OnHost {
  cuda::HostLauncher& launcher;

  void operator()(const cuda::StepArguments<float>& step, const DecodeArrays&) const {
    cuda::decode_step(launcher, step);
  }
};

DecodeCase decode_case(KernelRules rules, std::uint64_t seed, std::int64_t dim = 1) {
  DecodeCase c{.rules = rules, .seed = seed};
  c.table = {.vocab = 7, .dim = dim, .seed = seed, .sequences = 3, .spread = 1.0F};
  c.window = static_cast<std::int32_t>(2 + seed % 5);
  c.scales = seed % 3;
  if (seed % 4 == 1) c.sampling.top_k = 4;
  if (seed % 4 == 2) c.sampling.top_p = 0.8F;
  if (seed % 4 == 3) c.sampling.temperature = 0.0F;
  return c;
}

template <class... Policies>
void compare(KernelRules rules, Policies... policies) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    cuda::HostLauncher launcher{{.seed = seed}};
    const DecodeCase c = decode_case(rules, seed);
    CAPTURE(seed);
    CHECK(decode_difference(c, OnHost{launcher}, NoNoise{}, RowEndGrammar{3, 5}, 4, policies...) ==
          "");
    CHECK(launcher.launched.size() % 3 == 0);
  }
}

template <class... Policies>
void compare_noisy(KernelRules rules, Policies... policies) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    cuda::HostLauncher launcher{{.seed = seed}};
    const DecodeCase c = decode_case(rules, seed, 5);
    const KarrasSchedule schedule{
        .levels = seed % 2 == 0 ? 3 : 1,
        .grid = 4,
        .rho_min = 0.5F,
        .rho_max = 2.0F,
        .descent = seed % 3 == 0 ? LevelDescent::by_deadline : LevelDescent::by_age,
        .tokens_per_level = 2};
    CAPTURE(seed);
    CHECK(decode_difference(c, OnHost{launcher}, schedule, RowEndGrammar{3, 5}, 4, policies...) ==
          "");
  }
}

}  // namespace

TEST_CASE("coupled SJD decodes pass by pass as on the CPU") {
  compare({}, SpeculativeAcceptance{}, MaximalCoupling{});
}

TEST_CASE("SJD with fresh redraws decodes pass by pass as on the CPU") {
  compare({.refresh = Refresh::drawn}, SpeculativeAcceptance{}, FreshRedraw{});
}

TEST_CASE("Gumbel equality decodes pass by pass as on the CPU") {
  compare({Judge::shared_noise, Refresh::drawn, DrawKind::gumbel}, GumbelEquality{},
          GumbelCoupling{});
}

TEST_CASE("SJD with quantile coupling decodes pass by pass as on the CPU") {
  compare({Judge::ratio, Refresh::drawn, DrawKind::quantile}, SpeculativeAcceptance{},
          QuantileCoupling{});
}

TEST_CASE("coupled SJD2 decodes pass by pass as on the CPU, noise and all") {
  compare_noisy({}, SpeculativeAcceptance{}, MaximalCoupling{});
}

TEST_CASE("ungated SJD2 decodes pass by pass as on the CPU, noise and all") {
  compare_noisy({.judge = Judge::ungated_ratio, .refresh = Refresh::drawn}, UngatedAcceptance{},
                FreshRedraw{});
}

}  // namespace sjd::test
