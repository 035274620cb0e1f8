// SPDX-License-Identifier: Apache-2.0
// The gate, slot by slot: which rows may judge, which may correct, and when there is no bonus.
#include "sjd/cpu/verify.hpp"
#include "support/catch.hpp"
#include "support/scripted_gate.hpp"

namespace sjd::test {
namespace {

const TokenLaw same = law_of({1, 1, 1, 1});  // accepts every draft that was drawn from it
const TokenLaw never = TokenLaw::point(3);   // rejects every draft but token 3

/// A draft of token 0 from `same`; level 0 is clean, -1 is noise without a token.
Slot slot_of(std::int32_t level) {
  if (level < 0) return {.level = 2, .noisy = {0.5F}};
  return {.level = level, .token = 0, .law = same};
}

DecoderState state_of(const std::vector<std::int32_t>& levels) {
  DecoderState state;
  state.total = 100;
  state.tokens = {2};
  for (const std::int32_t level : levels) state.window.push_back(slot_of(level));
  return state;
}

struct Found {
  std::int64_t judged = 0;
  std::int64_t accepted = 0;
  bool token = false;
  bool recovered = false;
  friend bool operator==(const Found&, const Found&) = default;
};

/// `rejecting`: the position in the window whose law rejects its draft, -1 for none.
template <class Acceptance = SpeculativeAcceptance>
Found judge(const std::vector<std::int32_t>& levels, int rejecting = -1) {
  const DecoderState state = state_of(levels);
  std::vector<TokenLaw> laws(levels.size() + 1, same);
  if (rejecting >= 0) laws[static_cast<std::size_t>(rejecting)] = never;
  ScriptedGate gate{std::vector<uint128>(8, largest_bits / 2)};
  const cpu::Verdict v = cpu::verify(Acceptance{}, gate, state, 1, laws);
  for (const DrawKey& key : gate.keys) CHECK(key.iteration == 1);
  CHECK(v.committed() == v.accepted + (v.token >= 0 ? 1 : 0));
  if (v.recovered) CHECK(v.token == 3);
  return {v.judged, v.accepted, v.token >= 0, v.recovered};
}

}  // namespace

TEST_CASE("a clean window is judged whole, and a bonus follows") {
  CHECK(judge({}) == Found{0, 0, true, false});
  CHECK(judge({0}) == Found{1, 1, true, false});
  CHECK(judge({0, 0, 0}) == Found{3, 3, true, false});
  CHECK(judge({0, 0, 0}, 0) == Found{1, 0, true, true});
  CHECK(judge({0, 0, 0}, 2) == Found{3, 2, true, true});
}

TEST_CASE("one noisy slot may be judged, nothing behind it, and it has no bonus") {
  CHECK(judge({0, 1, 1}) == Found{2, 2, false, false});
  CHECK(judge({1, 0, 0}) == Found{1, 1, false, false});
  CHECK(judge({0, 0, 2}) == Found{3, 3, false, false});
  CHECK(judge({0, 0, 2}, 3) == Found{3, 3, false, false});
  // The judge of the noisy slot is clean, so it may correct.
  CHECK(judge({0, 1, 1}, 1) == Found{2, 1, true, true});
  CHECK(judge({1, 1, 1}, 0) == Found{1, 0, true, true});
}

TEST_CASE("a slot without a token ends the prefix, and its token is drawn afresh") {
  CHECK(judge({-1, -1}) == Found{0, 0, true, false});
  CHECK(judge({0, -1, -1}) == Found{1, 1, true, false});
  CHECK(judge({0, -1, -1}, 1) == Found{1, 1, true, false});
  CHECK(judge({1, -1}) == Found{1, 1, false, false});
}

TEST_CASE("without the gate noise judges and corrects") {
  CHECK(judge<UngatedAcceptance>({0, 1, 1}) == Found{3, 3, true, false});
  CHECK(judge<UngatedAcceptance>({1, 1, 1}, 2) == Found{3, 2, true, true});
  CHECK(judge<UngatedAcceptance>({1, -1, 0}) == Found{1, 1, true, false});
}

TEST_CASE("the greedy criterion accepts the mode alone") {
  PhiloxGate gate{1, 2};
  const TokenLaw target = law_of({1, 5, 2});
  for (TokenId token = 0; token < 3; ++token) {
    const Slot slot{.token = token, .law = target};
    CHECK(GreedyEquality{}.accept(gate, {}, slot, target) == (token == 1));
    CHECK(GreedyEquality{}.recover(gate, {}, slot, target) == 1);
  }
  CHECK(GreedyEquality{}.bonus(gate, {}, target) == 1);
}

TEST_CASE("a correction is a draw from the residual, for laws of every kind") {
  const TokenLaw laws[] = {law_of({1, 1, 0, 1}), law_of({2, 1, 4, 1}), TokenLaw::uniform(4),
                           TokenLaw::point(2)};
  int corrections = 0;
  for (const TokenLaw& target : laws) {
    for (const TokenLaw& draft : laws) {
      std::vector<uint128> weights;
      residual_weights(target, draft, weights);
      if (target == draft) continue;
      for (Position position = 0; position < 50; ++position) {
        PhiloxGate gate{7, 8};
        const Slot slot{.token = draft.token(0), .law = draft};
        const TokenId token =
            SpeculativeAcceptance{}.recover(gate, {.position = position}, slot, target);
        const DrawKey key{.position = position, .purpose = Purpose::residual};
        CHECK(token == target.token(gate.weighted(key, weights)));
        corrections += 1;
      }
    }
  }
  CHECK(corrections == 12 * 50);
}

TEST_CASE("a draft without mass in its own law is an error that names its position") {
  PhiloxGate gate{1, 2};
  for (const TokenLaw& law : {law_of({1, 0, 1}), TokenLaw::point(0)}) {
    const Slot forged{.token = 1, .law = law};
    try {
      static_cast<void>(SpeculativeAcceptance{}.recover(gate, {.position = 7}, forged, law));
      FAIL("nothing was thrown");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::contract);
      CHECK(error.sequence() == -1);
      CHECK(error.position() == 7);
      CHECK(std::string{error.what()} ==
            "the draft of image position 7 has no mass in the law that it carries");
    }
  }
}

TEST_CASE("positions of the draws follow the slots") {
  const DecoderState state = state_of({0, 0, 0});
  // A third of the drafts' mass remains at every position: each test needs a draw.
  const TokenLaw half = law_of({1, 3, 3, 3});
  ScriptedGate gate{{0, 0, largest_bits, 0}};
  const std::vector<TokenLaw> laws{half, half, half, half};
  const cpu::Verdict v = cpu::verify(SpeculativeAcceptance{}, gate, state, 5, laws);
  CHECK(v.accepted == 2);
  CHECK(v.recovered);
  REQUIRE(gate.keys.size() == 4);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(gate.keys[i].position == 1 + static_cast<Position>(i));
    CHECK(gate.keys[i].purpose == Purpose::accept);
  }
  CHECK(gate.keys[3].position == 3);
  CHECK(gate.keys[3].purpose == Purpose::residual);
  CHECK(gate.keys[3].iteration == 5);
}

}  // namespace sjd::test
