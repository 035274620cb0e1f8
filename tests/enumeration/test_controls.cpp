// SPDX-License-Identifier: Apache-2.0
// Negative controls: known wrong rules must be seen by the enumeration that proves the right ones.
#include "sjd/methods.hpp"
#include "support/instances.hpp"
#include "support/wrong_rules.hpp"

namespace sjd::test {
namespace {

constexpr long double visible = 1e-3L;

KarrasSchedule two_levels() {
  return {.levels = 2, .grid = 4, .rho_min = 0.5F, .rho_max = 2.0F};
}

template <class... Policies>
void check_caught(const std::string& name, std::uint64_t salt, Policies... policies) {
  static_assert(!SpeculativeJacobiDenoiser<TableHost, Policies...>::is_lossless);
  const Tally tally = enumerate_composition("control: " + name, {}, instances(salt), policies...);
  INFO(name);
  CHECK(tally.worst > visible);
}

}  // namespace

TEST_CASE("ungated SJD2 is caught", "[enumeration][control]") {
  static_assert(!UngatedSjd2<TableHost>::is_lossless);
  check_caught("ungated SJD2, raw", 3000, two_levels(), UngatedAcceptance{}, FreshRedraw{},
               RawNoise{});
  check_caught("ungated SJD2, coupled, mean", 3100, two_levels(), UngatedAcceptance{});
}

TEST_CASE("a coupling that keeps a stale law is caught", "[enumeration][control]") {
  check_caught("stale-law coupling, SJD", 3200, NoNoise{}, StaleLawCoupling{});
  check_caught("stale-law coupling, SJD2", 3300, two_levels(), StaleLawCoupling{});
  check_caught("keep if confident, q := p", 3400, NoNoise{}, ConfidentKeep{});
}

TEST_CASE("wrong criteria are caught", "[enumeration][control]") {
  check_caught("target instead of residual", 3500, NoNoise{}, FreshRedraw{}, TargetRedraw{});
  check_caught("target instead of residual, SJD2", 3600, two_levels(), TargetRedraw{});
  check_caught("accept all", 3700, NoNoise{}, FreshRedraw{}, AcceptAll{});
  check_caught("ratio x 1.02", 3750, NoNoise{}, FreshRedraw{}, GenerousRatio{});
}

TEST_CASE("cutting a commit to the batch minimum is caught", "[enumeration][control]") {
  for (const bool cut : {false, true}) {
    Tally tally{cut ? "control: batch-minimum commit" : "own cursor in the same mini loop"};
    for (const Instance& instance : instances(3800)) {
      if (instance.guided || instance.top_k > 0) continue;
      TableHost host{{.vocab = instance.vocab, .seed = instance.seed}};
      Enumeration all;
      BatchMinimumSjd decoder{host, EnumeratingRandom{&all}, instance.window, cut};
      const auto request = request_of(instance);
      tally.add(enumerate_decoder(decoder, all, request),
                autoregressive_joint(host.law(), request));
    }
    tally.print();
    CHECK((tally.worst > visible) == cut);
    if (!cut) CHECK(tally.worst <= 1e-12L);
  }
}

TEST_CASE("a cache row computed from noise and kept is caught", "[enumeration][control]") {
  for (const bool broken : {false, true}) {
    Tally tally{broken ? "control: noisy cache row kept" : "the same with the row forgotten"};
    for (const Instance& instance : instances(3900)) {
      TableHost host{{.vocab = instance.vocab, .seed = instance.seed, .posterior_mean = true}};
      host.keep_noisy_rows = broken;
      Enumeration all;
      SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = instance.window}, two_levels(),
                                        EnumeratingRandom{&all}};
      const auto request = request_of(instance);
      tally.add(enumerate_decoder(decoder, all, request),
                autoregressive_joint(host.law(), request));
    }
    tally.print();
    CHECK((tally.worst > visible) == broken);
  }
}

}  // namespace sjd::test
