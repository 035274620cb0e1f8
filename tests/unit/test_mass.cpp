// SPDX-License-Identifier: Apache-2.0
// The algebra of acceptance, residual and coupling, in exact integers.
#include <array>
#include <utility>

#include "sjd/core/mass.hpp"
#include "sjd/policies/acceptance.hpp"
#include "sjd/policies/refinement.hpp"
#include "support/catch.hpp"
#include "support/law_algebra.hpp"
#include "support/scripted_gate.hpp"

namespace sjd::test {
TEST_CASE("acceptance and residual add up to the target, in integers") {
  Algebra algebra;
  for (const LawPair& pair : adversarial_pairs())
    check_acceptance<SpeculativeAcceptance>(pair, algebra);
  for (const std::size_t vocab : {2U, 3U, 17U, 64U, 1025U}) {
    for (const LawPair& pair : random_pairs(vocab, vocab, 200)) {
      check_acceptance<SpeculativeAcceptance>(pair, algebra);
    }
  }
  CHECK(algebra.exact());
}

TEST_CASE("the identity holds for the largest vocabulary without overflow") {
  const std::vector<std::uint32_t> flat(std::size_t{1} << 18, 1U << 31);
  std::vector<std::uint32_t> peaked(std::size_t{1} << 18, 1);
  peaked[77] = 1U << 31;
  Algebra algebra;
  check_acceptance<SpeculativeAcceptance>({law_of(flat), law_of(peaked)}, algebra);
  check_acceptance<SpeculativeAcceptance>({law_of(peaked), law_of(flat)}, algebra);
  check_acceptance<SpeculativeAcceptance>({law_of(flat), TokenLaw::uniform(1 << 18)}, algebra);
  CHECK(algebra.exact());
}

TEST_CASE("a maximal coupling draws exactly the target") {
  Algebra algebra;
  for (const LawPair& pair : adversarial_pairs()) check_coupling<MaximalCoupling>(pair, algebra);
  for (const LawPair& pair : random_pairs(5, 6, 300))
    check_coupling<MaximalCoupling>(pair, algebra);
  CHECK(algebra.exact());
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

TEST_CASE("a list law with more tokens than masses is refused and changes nothing") {
  TokenLaw law = law_of({3, 0, 5});
  const TokenLaw before = law;
  const std::array<TokenId, 3> tokens{0, 4, 9};
  const std::array<std::uint32_t, 2> masses{7, 8};
  try {
    law.set_list(tokens, masses);
    FAIL("a token without a mass was taken");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::contract);
  }
  CHECK(law == before);
}

TEST_CASE("a copy of a law stays what it was when the law is written again") {
  TokenLaw law = law_of({3, 0, 5});
  const TokenLaw copy = law;
  CHECK(copy.masses().data() == law.masses().data());  // shared, not copied
  const auto check_copy = [&] {
    CHECK(copy.sum() == 8);
    CHECK(copy.size() == 2);
    CHECK(copy.mass(2) == 5);
    CHECK(copy == law_of({3, 0, 5}));
  };
  const std::array<TokenId, 2> tokens{1, 4};
  const std::array<std::uint32_t, 2> masses{7, 9};
  law.set_list(tokens, masses);
  check_copy();
  CHECK(law.mass(4) == 9);
  CHECK_FALSE(law == copy);
  const std::uint32_t* own = law.masses().data();
  law.set_list(tokens, masses);
  CHECK(law.masses().data() == own);  // nobody else has it: written in place
  TokenLaw third = copy;
  third.set_point(4);
  check_copy();
  CHECK(third.masses().empty());
  TokenLaw moved = std::move(law);
  CHECK(moved.mass(1) == 7);
  third = copy;
  third.clear();
  check_copy();
  CHECK(third == TokenLaw{});
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
