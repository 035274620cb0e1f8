// SPDX-License-Identifier: Apache-2.0
// The algebra of acceptance, residual and coupling, in exact integers.
#include <numeric>

#include "sjd/core/mass.hpp"
#include "sjd/policies/acceptance.hpp"
#include "sjd/policies/refinement.hpp"
#include "support/catch.hpp"
#include "support/enumerating_gate.hpp"
#include "support/scripted_gate.hpp"
#include "support/table_law.hpp"

namespace sjd::test {
namespace {

struct Pair {
  TokenLaw target;
  TokenLaw draft;
};

std::vector<Pair> adversarial_pairs() {
  const TokenLaw a = law_of({5, 0, 7, 1U << 31});
  return {{law_of({1, 2, 0, 0}), law_of({0, 0, 3, 4})},    // disjoint
          {law_of({1, 2, 3, 4}), law_of({0, 9, 1, 0})},    // nested
          {law_of({0, 9, 1, 0}), law_of({1, 2, 3, 4})},    // nested the other way
          {a, a},                                          // equal
          {a, law_of({10, 0, 14, 0xFFFFFFFFU})},           // equal but for one unit
          {law_of({1U << 31, 1}), law_of({1U << 31, 2})},  // one unit apart
          {law_of({1, 1, 1, 1}), TokenLaw::uniform(4)},    // equal, one of them implicit
          {law_of({4, 0, 0, 9}), TokenLaw::uniform(4)},    // uniform draft
          {law_of({4, 0, 0, 9}), TokenLaw::point(3)},      // one-hot draft
          {law_of({4, 0, 0, 9}), TokenLaw::point(1)},      // one-hot draft without support
          {TokenLaw::point(2), law_of({3, 3, 3, 3})},      // one-hot target
          {TokenLaw::point(2), TokenLaw::point(2)},
          {TokenLaw::uniform(5), TokenLaw::uniform(5)}};
}

std::vector<Pair> random_pairs(std::uint64_t seed, std::size_t vocab, int count) {
  std::vector<Pair> pairs;
  const auto masses = [&](std::uint64_t s) {
    std::vector<std::uint32_t> m(vocab);
    for (std::size_t v = 0; v < vocab; ++v) {
      const std::uint64_t h = mix(s ^ mix(v));
      m[v] = h % 3 == 0 ? 0 : static_cast<std::uint32_t>((h >> 8) >> (h % 31)) >> 1;
    }
    m[s % vocab] = 1U << 31;
    return law_of(m);
  };
  for (int i = 0; i < count; ++i) {
    const auto s = seed + 2 * static_cast<std::uint64_t>(i);
    pairs.push_back({masses(mix(s)), masses(mix(s + 1))});
  }
  return pairs;
}

/// Probability that a draft is `slot.token` and is accepted, over target.sum x draft.sum: what the
/// gate was really asked for.
uint128 accepted_mass(const Pair& pair, TokenId token, Slot& slot) {
  const uint128 whole = uint128{pair.draft.mass(token)} * pair.target.sum();
  ScriptedGate gate{{0}};
  slot.token = token;
  const bool accepted = SpeculativeAcceptance{}.accept(gate, {}, slot, pair.target);
  if (gate.parts.empty()) return accepted ? whole : uint128{0};
  REQUIRE(gate.wholes.front() == whole);
  REQUIRE(gate.parts.front() < whole);
  return gate.parts.front();
}

void check_identity(const Pair& pair) {
  const uint128 all = uint128{pair.target.sum()} * pair.draft.sum();
  std::vector<uint128> residual;
  residual_weights(pair.target, pair.draft, residual);
  Slot slot{.law = pair.draft};
  uint128 accepted = 0;
  uint128 rejected = 0;
  for (std::int64_t i = 0; i < pair.target.size(); ++i) {
    const TokenId token = pair.target.token(i);
    const uint128 a = pair.draft.mass(token) > 0 ? accepted_mass(pair, token, slot) : uint128{0};
    const uint128 r = residual[static_cast<std::size_t>(i)];
    accepted += a;
    rejected += r;
    REQUIRE(a + r == uint128{pair.target.mass_at(i)} * pair.draft.sum());
  }
  for (std::int64_t i = 0; i < pair.draft.size(); ++i) {
    const TokenId token = pair.draft.token(i);
    if (pair.target.mass(token) == 0) REQUIRE(accepted_mass(pair, token, slot) == 0);
  }
  REQUIRE(accepted + rejected == all);
}

/// Law of the token after a refresh whose draft follows pair.draft, enumerated.
std::vector<long double> refreshed_law(const Pair& pair, std::size_t vocab) {
  std::vector<long double> law(vocab, 0.0L);
  for (std::int64_t i = 0; i < pair.draft.size(); ++i) {
    const long double drawn = static_cast<long double>(pair.draft.mass_at(i)) /
                              static_cast<long double>(pair.draft.sum());
    Enumeration all;
    do {
      all.restart();
      EnumeratingGate gate{all};
      Slot slot{.token = pair.draft.token(i), .law = pair.draft};
      MaximalCoupling{}.refresh(gate, {}, slot, pair.target);
      REQUIRE(slot.law == pair.target);
      law[static_cast<std::size_t>(slot.token)] += drawn * all.weight();
    } while (all.advance());
  }
  return law;
}

}  // namespace

TEST_CASE("acceptance and residual add up to the target, in integers") {
  for (const Pair& pair : adversarial_pairs()) check_identity(pair);
  for (const std::size_t vocab : {2U, 3U, 17U, 64U, 1025U}) {
    for (const Pair& pair : random_pairs(vocab, vocab, 200)) check_identity(pair);
  }
}

TEST_CASE("the identity holds for the largest vocabulary without overflow") {
  const std::vector<std::uint32_t> flat(std::size_t{1} << 18, 1U << 31);
  std::vector<std::uint32_t> peaked(std::size_t{1} << 18, 1);
  peaked[77] = 1U << 31;
  check_identity({law_of(flat), law_of(peaked)});
  check_identity({law_of(peaked), law_of(flat)});
  check_identity({law_of(flat), TokenLaw::uniform(1 << 18)});
}

TEST_CASE("a maximal coupling draws exactly the target and keeps as often as any can") {
  for (const Pair& pair : random_pairs(5, 6, 300)) {
    const std::vector<long double> law = refreshed_law(pair, 6);
    for (std::size_t v = 0; v < law.size(); ++v) {
      const long double exact =
          static_cast<long double>(pair.target.mass(static_cast<TokenId>(v))) /
          static_cast<long double>(pair.target.sum());
      REQUIRE(std::fabs(law[v] - exact) < 1e-17L);
    }
  }
}

TEST_CASE("a draft that the target cannot draw is refused whatever the uniform") {
  const Slot slot{.token = 1, .law = law_of({1, 1})};
  ScriptedGate gate;
  CHECK_FALSE(SpeculativeAcceptance{}.accept(gate, {}, slot, law_of({7, 0})));
  CHECK(gate.parts.empty());
  ScriptedGate last{{largest_bits}};
  CHECK_FALSE(SpeculativeAcceptance{}.accept(last, {}, slot, law_of({3, 1})));
  ScriptedGate first{{0}};
  CHECK(SpeculativeAcceptance{}.accept(first, {}, slot, law_of({3, 1})));
}

TEST_CASE("equal laws accept without a draw") {
  const TokenLaw law = law_of({3, 5, 1});
  ScriptedGate gate;
  for (TokenId token = 0; token < 3; ++token) {
    CHECK(SpeculativeAcceptance{}.accept(gate, {}, {.token = token, .law = law}, law));
  }
  CHECK(gate.keys.empty());
}

TEST_CASE("laws of every kind answer alike") {
  const std::vector<std::pair<TokenLaw, TokenLaw>> twins{{TokenLaw::uniform(3), law_of({1, 1, 1})},
                                                         {TokenLaw::point(1), law_of({0, 1})}};
  for (const auto& [implicit, list] : twins) {
    REQUIRE(implicit.size() == list.size());
    CHECK(implicit.sum() == list.sum());
    CHECK(implicit.mode() == list.mode());
    for (std::int64_t i = 0; i < list.size(); ++i) {
      CHECK(implicit.token(i) == list.token(i));
      CHECK(implicit.mass_at(i) == list.mass_at(i));
    }
    for (TokenId v = -1; v < 5; ++v) CHECK(implicit.mass(v) == list.mass(v));
  }
  CHECK(TokenLaw{}.empty());
  CHECK(TokenLaw{}.size() == 0);
  CHECK(TokenLaw{}.mass(0) == 0);
  CHECK(law_of({2, 7, 7}).mode() == 1);
  TokenLaw cleared = law_of({1, 2});
  cleared.clear();
  CHECK(cleared == TokenLaw{});
}

}  // namespace sjd::test
