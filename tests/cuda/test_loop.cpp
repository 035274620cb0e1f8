// SPDX-License-Identifier: Apache-2.0
// Many pictures through a few places of a decoder whose loop never leaves the device: tokens and
// counters of the CPU decoder, with joining, leaving, errors, and whichever way a step is repeated.
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cuda/hidden_host.hpp"
#include "cuda/loop_cases.hpp"
#include "sjd/cuda/launch.hpp"
#include "support/catch.hpp"

namespace sjd::test {
namespace {

using cuda::HostDevice;

/// Clusters and shared memory of a device so small that large rows are cut.
constexpr cuda::DeviceLimits small_device{
    .clusters = true, .shared_bytes = 227 * 1024, .multiprocessors = 8};

/// Runs a loop on the host executor.
struct LoopOnHost {
  std::uint64_t seed = 1;
  std::int64_t depth = 4;

  template <class Denoiser>
  std::vector<DecoderState> operator()(LoopCase loop, Denoiser& denoiser) const {
    using Corrector = typename Denoiser::Corrector;
    HostDevice device{{.seed = seed}, seed % 2 == 0};
    loop.poll_every = static_cast<std::int32_t>(1 + seed % 4);
    if constexpr (std::is_same_v<Corrector, TableCorrector>) {
      return run_loop(loop, device, small_device,
                      TableChange{TableCorrector{.depth = loop.rules.depth},
                                  static_cast<std::size_t>(loop.rules.vocab)});
    } else if constexpr (std::is_same_v<Corrector, HeadCorrector>) {
      const hosts::CorrectorLines lines{denoiser.model().corrector_head().weights()};
      const cuda::DeviceHead head{device, lines.tables(), loop.room.sequences, loop.rules.depth};
      return run_loop(loop, device, small_device, head.change());
    } else {
      return run_loop(loop, device, small_device, cuda::NoChange{});
    }
  }
};

template <class Host = TableHost, class... Policies>
void compare(KernelRules rules, Policies... policies) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    DecodeCase c = decode_case(rules, seed);
    c.window += 2;
    CAPTURE(seed);
    CHECK(loop_difference<Host>(c, LoopOnHost{seed}, NoNoise{}, RowEndGrammar{3, 5}, 4, RawNoise{},
                                policies...) == "");
  }
}

}  // namespace

TEST_CASE("a loop on the device decodes as SpeculativeJacobiDenoiser does") {
  compare({}, SpeculativeAcceptance{}, MaximalCoupling{});
  compare({}, SpeculativeAcceptance{}, QuantileCoupling{});
  compare({}, GumbelEquality{}, GumbelCoupling{});
}

TEST_CASE("a loop on the device redraws drafts as SpeculativeJacobiDenoiser does") {
  compare({}, SpeculativeAcceptance{}, MaximalCoupling{}, TableCorrector{.depth = 3});
  compare<HiddenHost>({}, SpeculativeAcceptance{}, MaximalCoupling{}, HeadCorrector{.depth = 4});
}

TEST_CASE("a loop on the device denoises as SpeculativeJacobiDenoiser does") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    DecodeCase c = decode_case({}, seed, 5);
    c.table.vocab = 23;
    c.table.posterior_mean = true;
    const KarrasSchedule schedule{.levels = seed % 2 == 0 ? 3 : 1,
                                  .grid = 4,
                                  .rho_min = 0.5F,
                                  .rho_max = 2.0F,
                                  .tokens_per_level = 2};
    CAPTURE(seed);
    CHECK(loop_difference<HiddenHost>(c, LoopOnHost{seed}, schedule, RowEndGrammar{3, 5}, 4,
                                      PosteriorMean{}, SpeculativeAcceptance{}, MaximalCoupling{},
                                      HeadCorrector{.depth = 3}) == "");
  }
}

}  // namespace sjd::test
