// SPDX-License-Identifier: Apache-2.0
// A corrector that looks left only changes no law, however bad it is; one that looks anywhere else
// is seen.
#include "sjd/methods.hpp"
#include "support/instances.hpp"
#include "support/table_corrector.hpp"
#include "support/wrong_rules.hpp"

namespace sjd::test {
namespace {

/// Looks at a token that the last pass was fed at or behind the draft's own position.
struct PeekingCorrector {
  using role = role::corrector;
  static constexpr bool reads_hidden = false;

  std::int64_t depth = 8;
  std::int64_t ahead = 0;  ///< 0 = the draft's own old token, 1 = the one to its right

  bool correct(TableHost& host, const CorrectionContext& context, std::span<float> logits) const {
    const std::vector<Symbol>& fed = host.caches.front().front().symbols;
    const auto at = static_cast<std::size_t>(context.position() + ahead);
    if (at >= fed.size()) return false;
    TableCorrector{.spread = 3.0F}.change(mix(fed[at] + 17), logits);
    return true;
  }
};

/// Draws the draft from the corrected law and keeps the law of the draft before it.
struct OldLawRedraw {
  using role = role::refinement;
  static constexpr bool tracks_true_law = false;

  template <RandomGate Gate>
  void refresh(Gate& gate, DrawKey key, Slot& slot, const TokenLaw& target) const {
    const TokenLaw old = slot.law;
    FreshRedraw{}.refresh(gate, key, slot, target);
    if (!old.empty()) slot.law = old;
  }
};

KarrasSchedule levels(std::int32_t count) {
  return {.levels = count, .grid = 4, .rho_min = 0.5F, .rho_max = 2.0F};
}

template <class... Policies>
void check_correctors(const std::string& name, std::uint64_t salt, Policies... policies) {
  check_lossless(name + ", corrector", salt, TableCorrector{}, policies...);
  check_lossless(name + ", corrector of one slot", salt + 20, TableCorrector{.depth = 1},
                 policies...);
  check_lossless(name + ", wild corrector", salt + 40, TableCorrector{.spread = 30.0F},
                 policies...);
  check_lossless(name + ", one-token corrector", salt + 60, TableCorrector{.one_token_only = true},
                 policies...);
}

template <class... Policies>
void check_seen(const std::string& name, std::uint64_t salt, Policies... policies) {
  const Tally tally = enumerate_composition("control: " + name, {}, instances(salt), policies...);
  INFO(name);
  CHECK(tally.worst > 1e-4L);
}

}  // namespace

TEST_CASE("a corrector that looks left leaves SJD exact", "[enumeration][corrector]") {
  check_correctors("SJD fresh", 5000, NoNoise{}, FreshRedraw{});
  check_correctors("SJD coupled", 5100, NoNoise{}, MaximalCoupling{});
  check_correctors("SJD quantile, ratio test", 5200, NoNoise{}, QuantileCoupling{});
  check_correctors("SJD quantile equality", 5300, NoNoise{}, QuantileCoupling{},
                   QuantileEquality{});
}

TEST_CASE("a corrector that looks left leaves SJD2 exact", "[enumeration][corrector]") {
  check_correctors("SJD2 coupled, K=1", 5400, levels(1));
  check_correctors("SJD2 coupled, K=2", 5500, levels(2));
  check_correctors("SJD2 fresh, raw, K=2", 5600, levels(2), FreshRedraw{}, RawNoise{});
}

TEST_CASE("a corrector that peeks is caught", "[enumeration][corrector][control]") {
  check_seen("corrector sees its own old draft", 5700, NoNoise{}, PeekingCorrector{});
  check_seen("corrector sees the right", 5900, NoNoise{}, PeekingCorrector{.ahead = 1});
  check_seen("corrector sees its own old draft, SJD2", 6000, levels(1), PeekingCorrector{});
}

TEST_CASE("a fresh draft forgets the old one, so that peeking at it does no harm",
          "[enumeration][corrector]") {
  const Tally tally =
      enumerate_composition("corrector sees its own old draft, fresh", {}, instances(5800),
                            NoNoise{}, FreshRedraw{}, PeekingCorrector{});
  CHECK(tally.worst <= 1e-12L);
}

TEST_CASE("a stored law that is not the corrected one is caught",
          "[enumeration][corrector][control]") {
  check_seen("corrected draft, stale law", 6100, NoNoise{}, StaleLawCoupling{}, TableCorrector{});
  check_seen("corrected draft, law of the old one", 6200, NoNoise{}, OldLawRedraw{},
             TableCorrector{});
}

}  // namespace sjd::test
