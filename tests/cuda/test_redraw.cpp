// SPDX-License-Identifier: Apache-2.0
// Decodes with a corrector: the redraw kernel on the host executor redraws drafts exactly as the
// CPU decoder does, whatever the launch shape and the order of threads.
#include <cstdint>
#include <string>

#include "cuda/decode_cases.hpp"
#include "cuda/hidden_host.hpp"
#include "cuda/on_host.hpp"
#include "support/catch.hpp"

namespace sjd::test {
namespace {

using cuda::DrawKind;
using cuda::Judge;
using cuda::Refresh;

template <class Host = TableHost, class... Policies>
void compare(KernelRules rules, Policies... policies) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    DecodeCase c = decode_case(rules, seed);
    c.redraw_blocks = static_cast<std::int64_t>(seed % 3);
    c.window += 3;
    cuda::HostLauncher launcher{{.seed = seed}};
    CAPTURE(seed);
    CHECK(decode_difference<Host>(c, OnHost{launcher}, NoNoise{}, RowEndGrammar{3, 5}, 4,
                                  RawNoise{}, policies...) == "");
    CHECK(launcher.launched.size() % 4 == 0);
  }
}

}  // namespace

TEST_CASE("coupled SJD with a table corrector decodes pass by pass as on the CPU") {
  for (const std::int64_t depth : {1, 3, 8}) {
    compare({}, SpeculativeAcceptance{}, MaximalCoupling{}, TableCorrector{.depth = depth});
  }
}

TEST_CASE("fresh and shared-noise redraws with a table corrector decode as on the CPU") {
  compare({.refresh = Refresh::drawn}, SpeculativeAcceptance{}, FreshRedraw{}, TableCorrector{});
  compare({Judge::shared_noise, Refresh::drawn, DrawKind::gumbel}, GumbelEquality{},
          GumbelCoupling{}, TableCorrector{});
  compare({Judge::ratio, Refresh::drawn, DrawKind::quantile}, SpeculativeAcceptance{},
          QuantileCoupling{}, TableCorrector{});
}

TEST_CASE("a corrector head decodes pass by pass as the fp32 head of the CPU") {
  for (const std::int64_t depth : {2, 32}) {
    compare<HiddenHost>({}, SpeculativeAcceptance{}, MaximalCoupling{},
                        HeadCorrector{.depth = depth});
  }
}

TEST_CASE("SJD2 with a corrector head decodes pass by pass as on the CPU, noise and all") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    cuda::HostLauncher launcher{{.seed = seed}};
    CAPTURE(seed);
    CHECK(noisy_difference<HiddenHost>({}, seed, OnHost{launcher}, PosteriorMean{},
                                       SpeculativeAcceptance{}, MaximalCoupling{},
                                       HeadCorrector{}) == "");
  }
}

TEST_CASE("a row that is bad, or that the corrector empties, stops a sequence as on the CPU") {
  std::int64_t stopped = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    for (const std::int64_t row : {-1, 1, 2, 4}) {
      DecodeCase c = decode_case({}, seed);
      c.table.sequences = 1;
      c.window = 6;
      c.spoiled_row = row;
      c.spoiled_by_nothing = seed % 2 == 0;
      c.redraw_blocks = static_cast<std::int64_t>(seed % 3);
      cuda::HostLauncher launcher{{.seed = seed}};
      // The one token that the corrector leaves is forbidden by the grammar now and then.
      const std::string difference = decode_difference(
          c, OnHost{launcher}, NoNoise{}, RowEndGrammar{3, 5}, 4, RawNoise{},
          SpeculativeAcceptance{}, MaximalCoupling{},
          TableCorrector{.depth = 3, .one_token_only = row < 0 || seed % 3 == 0, .salt = seed});
      CAPTURE(seed, row, difference);
      CHECK((difference.empty() || difference == both_stop));
      stopped += difference == both_stop ? 1 : 0;
    }
  }
  REQUIRE(stopped >= 12);
}

}  // namespace sjd::test
