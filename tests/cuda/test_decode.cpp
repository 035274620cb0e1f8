// SPDX-License-Identifier: Apache-2.0
// The three kernels on the host executor walk through whole decodes exactly as the CPU decoder
// does: tokens, windows, laws, noise and counters, after every pass, in a ragged batch.
#include <cstdint>
#include <string>

#include "cuda/decode_cases.hpp"
#include "cuda/on_host.hpp"
#include "support/catch.hpp"

namespace sjd::test {
namespace {

using cuda::DrawKind;
using cuda::Judge;
using cuda::Refresh;

template <class... Policies>
void compare(KernelRules rules, Policies... policies) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    cuda::HostLauncher launcher{{.seed = seed}};
    CAPTURE(seed);
    CHECK(clean_difference(rules, seed, OnHost{launcher}, policies...) == "");
    CHECK(launcher.launched.size() % 3 == 0);
  }
}

template <class... Policies>
void compare_noisy(KernelRules rules, Policies... policies) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    cuda::HostLauncher launcher{{.seed = seed}};
    CAPTURE(seed);
    CHECK(noisy_difference(rules, seed, OnHost{launcher}, policies...) == "");
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
  compare_noisy({}, PosteriorMean{}, SpeculativeAcceptance{}, MaximalCoupling{});
}

TEST_CASE("a bad row stops a sequence where the CPU stops, or is not asked for") {
  std::int64_t stopped = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    for (const std::int64_t row : {0, 1, 2, 4}) {
      DecodeCase c = decode_case({}, seed);
      c.table.sequences = 1;
      c.window = 5;
      c.scales = 0;
      c.spoiled_row = row;
      c.spoiled_by_nothing = seed % 2 == 0;
      cuda::HostLauncher launcher{{.seed = seed}};
      const std::string difference =
          decode_difference(c, OnHost{launcher}, NoNoise{}, RowEndGrammar{3, 5}, 4, RawNoise{},
                            SpeculativeAcceptance{}, MaximalCoupling{});
      CAPTURE(seed, row, difference);
      CHECK((difference.empty() || difference == both_stop));
      stopped += difference == both_stop ? 1 : 0;
    }
  }
  REQUIRE(stopped >= 12);
}

TEST_CASE("a draft that its law does not hold stops a sequence as on the CPU") {
  DecodeCase c = decode_case({}, 3);
  c.table.sequences = 1;
  c.lost_law = true;
  cuda::HostLauncher launcher;
  CHECK(decode_difference(c, OnHost{launcher}, NoNoise{}, NoGrammar{}, 0, RawNoise{},
                          SpeculativeAcceptance{}, MaximalCoupling{}) == both_stop);
}

TEST_CASE("ungated SJD2 decodes pass by pass as on the CPU, noise and all") {
  compare_noisy({.judge = Judge::ungated_ratio, .refresh = Refresh::drawn}, RawNoise{},
                UngatedAcceptance{}, FreshRedraw{});
}

}  // namespace sjd::test
