// SPDX-License-Identifier: Apache-2.0
// Every lossless composition with noise, enumerated: the noise runs through the engine, the joint
// law is AR's.
#include "sjd/methods.hpp"
#include "support/instances.hpp"

namespace sjd::test {
namespace {

/// Levels 1, 2 and 3, by age and by deadline.
template <class... Policies>
void check_schedules(const std::string& name, std::uint64_t salt, Policies... policies) {
  // One channel is enough for a noise that matters, but rows of one channel have no variance.
  constexpr bool two_channels = (std::is_same_v<Policies, PerTokenNormalization> || ...);
  for (const std::int32_t levels : {1, 2, 3}) {
    for (const LevelDescent descent : {LevelDescent::by_age, LevelDescent::by_deadline}) {
      const KarrasSchedule schedule{.levels = levels,
                                    .grid = 4,
                                    .rho_min = 0.5F,
                                    .rho_max = 2.0F,
                                    .descent = descent,
                                    .tokens_per_level = 1};
      const bool by_age = descent == LevelDescent::by_age;
      const std::string full =
          name + (by_age ? ", by age, K=" : ", by deadline, K=") + std::to_string(levels);
      const Tally tally = enumerate_composition(full, {.dim = two_channels || levels == 2 ? 2 : 1},
                                                instances(salt++), schedule, policies...);
      INFO(full);
      CHECK(tally.worst <= 1e-12L);
    }
  }
}

}  // namespace

TEST_CASE("SJD2 with fresh clean estimates", "[enumeration]") {
  static_assert(Sjd2<TableHost, RawNoise>::is_lossless && Sjd2<TableHost>::is_lossless);
  check_schedules("SJD2 fresh, raw", 1000, FreshRedraw{}, RawNoise{});
  check_schedules("SJD2 fresh, mean", 1100, FreshRedraw{}, PosteriorMean{});
}

TEST_CASE("SJD2 with maximally coupled clean estimates", "[enumeration]") {
  static_assert(CoupledSjd2<TableHost>::is_lossless);
  static_assert(SpeculativeJacobiDenoiser<TableHost>::is_lossless, "the default is exact");
  check_schedules("SJD2 coupled, raw", 1200, MaximalCoupling{}, RawNoise{});
  check_schedules("SJD2 coupled, mean", 1300, MaximalCoupling{}, PosteriorMean{});
}

TEST_CASE("SJD2 with shared noise", "[enumeration]") {
  check_schedules("SJD2 quantile, ratio test", 1400, QuantileCoupling{});
  check_schedules("SJD2 quantile equality", 1500, QuantileCoupling{}, QuantileEquality{});
}

TEST_CASE("SJD2 finds the greedy picture", "[enumeration]") {
  check_schedules("SJD2 greedy", 1600, GreedyEquality{}, ModeRefinement{});
}

TEST_CASE("SJD2 is exact under every normalisation", "[enumeration]") {
  check_schedules("SJD2 fresh, raw, per token", 1700, FreshRedraw{}, RawNoise{},
                  PerTokenNormalization{});
  check_schedules("SJD2 coupled, mean, per token", 1800, PerTokenNormalization{});
  check_schedules("SJD2 coupled, raw, none", 1900, RawNoise{}, NoNormalization{});
  check_schedules("SJD2 fresh, mean, none", 2000, FreshRedraw{}, NoNormalization{});
}

}  // namespace sjd::test
