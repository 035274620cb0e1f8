// SPDX-License-Identifier: Apache-2.0
// The enumeration itself: merging equal points gives the law of running every path to its end, and
// the law of the default composition holds for the policies of the examples.
#include "sjd/methods.hpp"
#include "support/example_policies.hpp"
#include "support/instances.hpp"

namespace sjd::test {
namespace {

/// Runs generate() once for every path, without any merging.
template <class Decoder>
Enumerated enumerate_whole_paths(Decoder& decoder, Enumeration& all,
                                 const GenerationRequest<TablePrompt>& request) {
  Enumerated found;
  do {
    all.restart();
    all.shared.clear();
    const std::vector<TokenId> tokens = decoder.generate(request).tokens;
    found.joint[tokens] += all.weight();
    found.paths += 1;
  } while (all.advance());
  return found;
}

template <class... Policies>
void check_merging(const std::string& name, const Instance& instance, Policies... policies) {
  using Decoder = SpeculativeJacobiDenoiser<TableHost, FixedWindow, EnumeratingRandom, Policies...>;
  TableHost host{{.vocab = instance.vocab,
                  .seed = instance.seed,
                  .posterior_mean = Decoder::NoiseFeed::posterior_mean}};
  Enumeration all;
  Decoder decoder{host, FixedWindow{.tokens = instance.window}, EnumeratingRandom{&all},
                  policies...};
  const auto request = request_of(instance);
  const Enumerated merged = enumerate_decoder(decoder, all, request);
  const Enumerated whole = enumerate_whole_paths(decoder, all, request);
  INFO(name);
  CHECK(total_variation(merged.joint, whole.joint) < 1e-15L);
  CHECK(whole.paths > 20);
  Tally tally{(Decoder::is_lossless ? "whole paths: " : "lossy: whole paths, ") + name};
  tally.add(whole, autoregressive_joint(host.law(), request));
  tally.print();
}

KarrasSchedule two_levels() {
  return {.levels = 2, .grid = 4, .rho_min = 0.5F, .rho_max = 2.0F};
}

}  // namespace

TEST_CASE("merged points give the law of whole paths", "[enumeration]") {
  const Instance instance{3, 4, 3, 0, false, 77};
  check_merging("SJD fresh", instance, NoNoise{}, FreshRedraw{});
  check_merging("SJD coupled", instance, NoNoise{}, MaximalCoupling{});
  check_merging("SJD quantile equality", instance, NoNoise{}, QuantileCoupling{},
                QuantileEquality{});
  check_merging("SJD2 coupled, mean", instance, two_levels(), MaximalCoupling{});
  check_merging("SJD2 ungated, raw", instance, two_levels(), RawNoise{}, UngatedAcceptance{});
}

TEST_CASE("a window and a refinement of one's own stay exact", "[enumeration]") {
  for (const std::int32_t settled_at : {0, 1, 2}) {
    Tally sjd{"SJD, growing window, drafts settle at " + std::to_string(settled_at)};
    Tally sjd2{"SJD2, growing window, drafts settle at " + std::to_string(settled_at)};
    for (const Instance& instance : instances(2500)) {
      TableHost host{{.vocab = instance.vocab, .seed = instance.seed, .posterior_mean = true}};
      Enumeration all;
      const auto request = request_of(instance);
      const Joint expected = autoregressive_joint(host.law(), request);
      const GrowingWindow window{.smallest = 2, .largest = 4, .tokens_per_row = 1};
      const SettlingDrafts drafts{.settled_at = settled_at};
      SpeculativeJacobiDenoiser plain{host, window, drafts, NoNoise{}, EnumeratingRandom{&all}};
      sjd.add(enumerate_decoder(plain, all, request, Ages::matter), expected);
      SpeculativeJacobiDenoiser noisy{host, window, drafts, two_levels(), EnumeratingRandom{&all}};
      sjd2.add(enumerate_decoder(noisy, all, request, Ages::matter), expected);
    }
    for (const Tally& tally : {sjd, sjd2}) {
      tally.print();
      CHECK(tally.worst <= 1e-12L);
    }
  }
}

}  // namespace sjd::test
