// SPDX-License-Identifier: Apache-2.0
// How a window moves, slot by slot: levels, ages, keys, and which law a slot that enters may use.
// The law of the picture hides mistakes here that are exact and only slow.
#include <limits>

#include "sjd/cpu/window_update.hpp"
#include "sjd/policies/grammar.hpp"
#include "sjd/policies/initialization.hpp"
#include "sjd/policies/refinement.hpp"
#include "sjd/policies/window.hpp"
#include "support/catch.hpp"
#include "support/scripted_gate.hpp"

namespace sjd::test {
namespace {

/// The mode of the target becomes the token; what it was asked is remembered.
struct Recorder {
  std::vector<DrawKey>* keys = nullptr;
  bool leaves_empty = false;

  template <class Gate>
  void refresh(Gate&, DrawKey key, Slot& slot, const TokenLaw& target) const {
    keys->push_back(key);
    if (leaves_empty) return;
    slot.token = target.mode();
    slot.law = target;
  }
};

/// Takes the left token, or token `vocab` where there is none.
struct FromLeft {
  template <class Gate>
  void enter(Gate&, DrawKey, TokenId left, std::int64_t vocab, Slot& slot) const {
    slot.token = left < 0 ? static_cast<TokenId>(vocab) : left;
    slot.law = TokenLaw::point(slot.token);
  }
};

const KarrasSchedule by_deadline{.levels = 3,
                                 .grid = 4,
                                 .rho_min = 0.5F,
                                 .rho_max = 2.0F,
                                 .descent = LevelDescent::by_deadline,
                                 .tokens_per_level = 2};

/// Two channels; token v has the clean embedding (v, -v).
EmbeddingSpace space_of(std::int64_t vocab) {
  EmbeddingSpace space;
  space.vocab = vocab;
  space.dim = 2;
  for (std::int64_t v = 0; v < vocab; ++v) {
    space.normalized.push_back(static_cast<float>(v));
    space.normalized.push_back(static_cast<float>(-v));
  }
  return space;
}

template <class Schedule>
struct Mover {
  Schedule schedule;
  std::vector<DrawKey> keys{};
  Recorder refinement{&keys};
  FromLeft initialization{};
  RowEndGrammar grammar{.columns = 1'000, .row_end = 7};
  EmbeddingSpace space = space_of(9);
  ScriptedGate gate{};

  explicit Mover(Schedule s) : schedule{s} {}
  [[nodiscard]] auto rules() {
    return cpu::WindowRules<Schedule, Recorder, FromLeft, RowEndGrammar>{
        schedule, refinement, initialization, grammar, space};
  }
};

Slot noisy_slot(std::int32_t level, TokenId token = -1) {
  Slot slot{.level = level, .token = token, .noisy = {0.5F, 0.25F}};
  if (token >= 0) slot.law = TokenLaw::point(token);
  return slot;
}

/// The schedule's step from one decoding level to a lower one, in double.
std::vector<double> stepped(const Slot& slot, std::int32_t to, TokenId token) {
  const auto a = by_deadline.coefficients(by_deadline.checkpoint_level(slot.level));
  const auto b = by_deadline.coefficients(by_deadline.checkpoint_level(to));
  const double keep = double{b.sigma} / a.sigma;
  const double pull = b.alpha - a.alpha * keep;
  return {keep * slot.noisy[0] + pull * token, keep * slot.noisy[1] - pull * token};
}

DecoderState state_of(std::vector<Slot> window) {
  DecoderState state;
  state.sequence = 2;
  state.total = 100;
  state.iteration = 6;
  state.tokens = {1, 2, 3};
  state.window = std::move(window);
  return state;
}

/// laws[i] is all on token i + 1.
std::vector<TokenLaw> laws_for(std::size_t window) {
  std::vector<TokenLaw> laws;
  for (std::size_t i = 0; i <= window; ++i) {
    laws.push_back(TokenLaw::point(static_cast<TokenId>(i) + 1));
  }
  return laws;
}

}  // namespace

TEST_CASE("a slot waits at its level until its deadline, and falls in one step") {
  // Levels allowed at distances 1.. are 0 0 1 1 2 2 3 ...
  for (std::int32_t level = 1; level <= 3; ++level) {
    for (std::int64_t distance = 1; distance <= 8; ++distance) {
      CAPTURE(level, distance);
      Mover mover{by_deadline};
      const Slot before = noisy_slot(level, 4);
      Slot slot = before;
      cpu::refine_slot(mover.rules(), mover.gate, {.position = 11, .iteration = 6}, distance,
                       TokenLaw::point(5), slot);
      const auto next =
          static_cast<std::int32_t>(std::min<std::int64_t>(level, (distance - 1) / 2));
      CHECK(slot.level == next);
      CHECK(slot.token == 5);
      CHECK(slot.law == TokenLaw::point(5));
      CHECK(slot.age == before.age);
      CHECK(slot.noisy.size() == (next == 0 ? 0U : 2U));
      if (next == level) CHECK(slot.noisy == before.noisy);
      if (next > 0 && next < level) {
        const std::vector<double> wanted = stepped(before, next, 5);
        CHECK(slot.noisy[0] == close_to(wanted[0]));
        CHECK(slot.noisy[1] == close_to(wanted[1]));
      }
      REQUIRE(mover.keys.size() == 1);
      CHECK(mover.keys[0].position == 11);
      CHECK(mover.keys[0].iteration == 6);
    }
  }
}

TEST_CASE("a clean slot stays clean, and keeps no embedding") {
  Mover mover{by_deadline};
  for (const std::int64_t distance : {1, 2, 5, 50}) {
    Slot slot{.token = 3, .law = TokenLaw::point(3)};
    cpu::refine_slot(mover.rules(), mover.gate, {}, distance, TokenLaw::point(4), slot);
    CHECK(slot == Slot{.token = 4, .law = TokenLaw::point(4)});
  }
}

TEST_CASE("a refinement may leave pure noise waiting, and nothing else, without a token") {
  const auto refine = [](auto schedule, Slot slot, std::int64_t distance) {
    Mover mover{schedule};
    mover.refinement.leaves_empty = true;
    cpu::refine_slot(mover.rules(), mover.gate, {.position = 11}, distance, TokenLaw::point(5),
                     slot);
    return slot;
  };
  CHECK(refine(by_deadline, noisy_slot(1), 3) == noisy_slot(1));
  CHECK(refine(by_deadline, noisy_slot(3), 7) == noisy_slot(3));
  const auto refused = [&](auto schedule, const Slot& slot, std::int64_t distance) {
    try {
      static_cast<void>(refine(schedule, slot, distance));
      return false;
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::contract);
      CHECK(error.position() == 11);
      return true;
    }
  };
  CHECK(refused(by_deadline, noisy_slot(2), 3));  // a step needs the clean estimate
  CHECK(refused(by_deadline, noisy_slot(1), 1));  // a clean slot needs its token
  CHECK(refused(by_deadline, Slot{}, 5));
  CHECK(refused(NoNoise{}, Slot{}, 5));
}

TEST_CASE("what enters: a forced token, noise of the highest level, or an initial token") {
  Mover noise{by_deadline};
  const DrawKey key{.position = 40, .iteration = 6};
  const TokenLaw target = TokenLaw::point(5);
  const float sigma = by_deadline.coefficients(5).sigma;
  const Slot waiting = cpu::enter_slot(noise.rules(), noise.gate, key, 9, 2, 8,
                                       static_cast<const TokenLaw*>(nullptr));
  CHECK(waiting == Slot{.level = 3, .noisy = {sigma, sigma}});
  REQUIRE(noise.gate.keys.size() == 1);
  CHECK(noise.gate.keys[0].purpose == Purpose::noise);
  CHECK(noise.gate.keys[0].position == 40);
  CHECK(noise.gate.keys[0].iteration == 6);
  CHECK(noise.keys.empty());
  // With a law it takes a token at once, and falls as far as its place demands.
  const Slot drawn = cpu::enter_slot(noise.rules(), noise.gate, key, 9, 2, 8, &target);
  CHECK(drawn == Slot{.level = 3, .token = 5, .law = target, .noisy = {sigma, sigma}});
  CHECK(cpu::enter_slot(noise.rules(), noise.gate, key, 2, 2, 8, &target) ==
        Slot{.token = 5, .law = target});

  Mover tokens{NoNoise{}};
  const TokenLaw* none = nullptr;
  CHECK(cpu::enter_slot(tokens.rules(), tokens.gate, key, 1, 2, 8, none) ==
        Slot{.token = 2, .law = TokenLaw::point(2)});
  CHECK(cpu::enter_slot(tokens.rules(), tokens.gate, key, 1, -1, 8, none) ==
        Slot{.token = 8, .law = TokenLaw::point(8)});
  CHECK(cpu::enter_slot(tokens.rules(), tokens.gate, key, 1, 2, 8, &target) ==
        Slot{.token = 5, .law = target});
  const DrawKey end_of_row{.position = 1'000, .iteration = 6};
  CHECK(cpu::enter_slot(tokens.rules(), tokens.gate, end_of_row, 1, 2, 8, &target) ==
        Slot{.token = 7, .law = TokenLaw::point(7)});
  CHECK(cpu::enter_slot(noise.rules(), noise.gate, end_of_row, 1, 2, 8, none) ==
        Slot{.token = 7, .law = TokenLaw::point(7)});
  noise.grammar.row_end = 0;
  CHECK(cpu::enter_slot(noise.rules(), noise.gate, end_of_row, 1, 2, 8, none) ==
        Slot{.token = 0, .law = TokenLaw::point(0)});
}

TEST_CASE("an initial token repeats its neighbour, and is uniform where there is none") {
  ScriptedGate gate{{largest_bits}};
  Slot slot;
  RepeatLeft{}.enter(gate, {.position = 4}, 2, 5, slot);
  CHECK(slot == Slot{.token = 2, .law = TokenLaw::point(2)});
  RepeatLeft{}.enter(gate, {.position = 4}, 0, 5, slot);
  CHECK(slot == Slot{.token = 0, .law = TokenLaw::point(0)});
  CHECK(gate.keys.empty());
  RepeatLeft{}.enter(gate, {.position = 4}, -1, 5, slot);
  CHECK(slot == Slot{.token = 4, .law = TokenLaw::uniform(5)});
  REQUIRE(gate.keys.size() == 1);
  CHECK(gate.keys[0].purpose == Purpose::entry);
}

TEST_CASE("the end of a row allows its token alone, other places all but it") {
  constexpr float none = -std::numeric_limits<float>::infinity();
  const RowEndGrammar grammar{.columns = 3, .row_end = 1};
  std::vector<float> end{1, 2, 3};
  grammar.mask(7, end);
  CHECK(end == std::vector<float>{none, 2, none});
  std::vector<float> code{1, 2, 3};
  grammar.mask(6, code);
  CHECK(code == std::vector<float>{1, none, 3});
  std::vector<float> first{1, 2, 3};
  RowEndGrammar{.columns = 3, .row_end = 0}.mask(3, first);
  CHECK(first == std::vector<float>{1, none, none});
  CHECK(grammar.forced(7) == 1);
  CHECK(grammar.forced(6) == -1);
  CHECK(NoGrammar{}.forced(7) == -1);
}

TEST_CASE("a window plan is asked while tokens are missing, and its answer is checked") {
  const DecodeStatistics none;
  const FixedWindow window{.tokens = 4};
  CHECK(detail::window_rows(window, {3, 9, 4, none}) == 4);
  CHECK(detail::window_rows(window, {8, 9, 4, none}) == 1);
  CHECK(detail::window_rows(window, {9, 9, 4, none}) == 0);
  try {
    static_cast<void>(detail::window_rows(FixedWindow{.tokens = 0}, {3, 9, 4, none}));
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::contract);
    CHECK(error.sequence() == -1);
    CHECK(error.position() == 3);
  }
}

TEST_CASE("a grammar outside its ranges is refused, one at their ends is not") {
  const auto is_valid = [](const RowEndGrammar& grammar) {
    try {
      grammar.validate(8);
      return true;
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_argument);
      return false;
    }
  };
  CHECK(is_valid({.columns = 1, .row_end = 0}));
  CHECK(is_valid({.columns = 1 << 20, .row_end = 7}));
  CHECK_FALSE(is_valid({.columns = 0, .row_end = 0}));
  CHECK_FALSE(is_valid({.columns = (1 << 20) + 1, .row_end = 0}));
  CHECK_FALSE(is_valid({.columns = 3, .row_end = -1}));
  CHECK_FALSE(is_valid({.columns = 3, .row_end = 8}));
}

TEST_CASE("a window is filled from the left, and its first new slot alone uses the law") {
  Mover mover{by_deadline};
  DecoderState state = state_of({noisy_slot(1, 4)});
  const TokenLaw target = TokenLaw::point(5);
  cpu::fill_window(mover.rules(), mover.gate, 5, 9, &target, state);
  REQUIRE(state.window.size() == 5);
  CHECK(state.window[0] == noisy_slot(1, 4));
  CHECK(state.window[1].token == 5);
  CHECK(state.window[1].level == 0);  // second behind the tip
  for (std::size_t i = 2; i < 5; ++i) {
    CHECK(state.window[i].token == -1);
    CHECK(state.window[i].level == 3);
  }
  REQUIRE(mover.gate.keys.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(mover.gate.keys[i].position == 4 + static_cast<Position>(i));
    CHECK(mover.gate.keys[i].iteration == 6);
  }
  REQUIRE(mover.keys.size() == 1);
  CHECK(mover.keys[0].position == 4);

  // The left token of the first slot is the tip, of others the slot before.
  Mover tokens{NoNoise{}};
  DecoderState plain = state_of({});
  cpu::fill_window(tokens.rules(), tokens.gate, 2, 9, static_cast<const TokenLaw*>(nullptr), plain);
  CHECK(plain.window[0].token == 3);
  CHECK(plain.window[1].token == 3);
  plain.window.back() = noisy_slot(1);
  cpu::fill_window(tokens.rules(), tokens.gate, 3, 9, static_cast<const TokenLaw*>(nullptr), plain);
  CHECK(plain.window[2].token == 9);
  // A window that is wide enough stays.
  const DecoderState before = plain;
  cpu::fill_window(tokens.rules(), tokens.gate, 3, 9, &target, plain);
  cpu::fill_window(tokens.rules(), tokens.gate, 1, 9, &target, plain);
  CHECK(plain == before);
}

TEST_CASE("as many drafts survive as there are, less those committed, and no more than wanted") {
  CHECK(cpu::surviving_slots(7, 3, 9) == 4);
  CHECK(cpu::surviving_slots(7, 3, 4) == 4);
  CHECK(cpu::surviving_slots(7, 3, 2) == 2);
  CHECK(cpu::surviving_slots(7, 3, 0) == 0);
  CHECK(cpu::surviving_slots(7, 7, 5) == 0);
  CHECK(cpu::surviving_slots(7, 8, 5) == 0);
  CHECK(cpu::surviving_slots(0, 1, 5) == 0);
}

TEST_CASE("a verdict moves the window: ages, laws, keys and the row behind the last slot") {
  const auto advance = [](const cpu::Verdict& verdict, std::int64_t slots, DecoderState& state,
                          std::vector<std::int64_t>& asked, Mover<NoNoise>& mover) {
    const std::vector<TokenLaw> laws = laws_for(state.window.size());
    cpu::advance(mover.rules(), mover.gate, verdict, laws, slots, 9, state,
                 [&](std::int64_t i) { asked.push_back(i); });
  };
  const auto window = [] {
    std::vector<Slot> slots(4, Slot{.token = 8, .law = TokenLaw::point(8)});
    for (std::size_t i = 0; i < 4; ++i) slots[i].age = static_cast<std::int32_t>(10 * i);
    return slots;
  };
  SECTION("one accepted, one recovered, two survive, two enter") {
    DecoderState state = state_of(window());
    std::vector<std::int64_t> asked;
    Mover<NoNoise> mover{NoNoise{}};
    advance({.judged = 2, .accepted = 1, .token = 0, .recovered = true}, 4, state, asked, mover);
    CHECK(state.tokens == std::vector<TokenId>{1, 2, 3, 8, 0});
    CHECK(asked == std::vector<std::int64_t>{2, 3, 4});
    REQUIRE(state.window.size() == 4);
    CHECK(state.window[0] == Slot{.age = 21, .token = 3, .law = TokenLaw::point(3)});
    CHECK(state.window[1] == Slot{.age = 31, .token = 4, .law = TokenLaw::point(4)});
    CHECK(state.window[2] == Slot{.token = 5, .law = TokenLaw::point(5)});
    CHECK(state.window[3] == Slot{.token = 5, .law = TokenLaw::point(5)});
    REQUIRE(mover.keys.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(mover.keys[i].position == 5 + static_cast<Position>(i));
      CHECK(mover.keys[i].iteration == 6);
    }
  }
  SECTION("a narrower window drops slots unread") {
    DecoderState state = state_of(window());
    std::vector<std::int64_t> asked;
    Mover<NoNoise> mover{NoNoise{}};
    advance({.judged = 1, .accepted = 0, .token = 0, .recovered = true}, 2, state, asked, mover);
    CHECK(asked == std::vector<std::int64_t>{1, 2});
    REQUIRE(state.window.size() == 2);
    CHECK(state.window[1].age == 21);
    CHECK(state.window[1].token == 3);
  }
  SECTION("a bonus behind the whole window leaves no law for what enters") {
    DecoderState state = state_of(window());
    std::vector<std::int64_t> asked;
    Mover<NoNoise> mover{NoNoise{}};
    advance({.judged = 4, .accepted = 4, .token = 6}, 2, state, asked, mover);
    CHECK(state.tokens == std::vector<TokenId>{1, 2, 3, 8, 8, 8, 8, 6});
    CHECK(asked.empty());
    CHECK(mover.keys.empty());
    CHECK(state.window == std::vector<Slot>(2, {.token = 6, .law = TokenLaw::point(6)}));
  }
  SECTION("no token behind an accepted window: its last row has the law of the first slot") {
    DecoderState state = state_of(window());
    std::vector<std::int64_t> asked;
    Mover<NoNoise> mover{NoNoise{}};
    advance({.judged = 4, .accepted = 4}, 2, state, asked, mover);
    CHECK(asked == std::vector<std::int64_t>{4});
    CHECK(state.window == std::vector<Slot>(2, {.token = 5, .law = TokenLaw::point(5)}));
  }
  SECTION("a finished picture keeps no window and asks for nothing") {
    DecoderState state = state_of(window());
    state.total = 5;
    std::vector<std::int64_t> asked;
    Mover<NoNoise> mover{NoNoise{}};
    advance({.judged = 2, .accepted = 1, .token = 0, .recovered = true}, 4, state, asked, mover);
    CHECK(state.tokens == std::vector<TokenId>{1, 2, 3, 8, 0});
    CHECK(state.window.empty());
    CHECK(asked.empty());
  }
}

TEST_CASE("a moved slot falls by its place behind the new tip") {
  Mover mover{by_deadline};
  DecoderState state = state_of(std::vector<Slot>(5, noisy_slot(3, 4)));
  cpu::advance(mover.rules(), mover.gate, {.judged = 1, .token = 0, .recovered = true}, laws_for(5),
               5, 9, state, [](std::int64_t) {});
  REQUIRE(state.window.size() == 5);
  const std::vector<std::int32_t> levels{0, 0, 1, 1, 2};
  for (std::size_t i = 0; i < 5; ++i) CHECK(state.window[i].level == levels[i]);
}

}  // namespace sjd::test
