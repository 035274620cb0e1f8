// SPDX-License-Identifier: Apache-2.0
// Decoder states on their way into the arrays of a batch: what the arrays hold comes out again, and
// what would lead a kernel behind one of them is refused before anything is written.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sjd/cuda/batch_image.hpp"
#include "support/catch.hpp"

namespace sjd::test {
namespace {

constexpr cuda::BatchShape shape{.sequences = 2,
                                 .ring = 4,
                                 .most_tokens = 20,
                                 .dim = 3,
                                 .capacity = 2,
                                 .most_branches = 2,
                                 .levels = 2};

/// A clean draft, a noisy one and one of pure noise, as old as a window of four rows lets them be.
DecoderState good_state() {
  DecoderState state;
  state.sequence = 5;
  state.total = 20;
  state.iteration = 3;
  state.guidance = {1.5F};
  state.tokens = {1, 2, 3, 4, 5, 6};
  TokenLaw law;
  law.set_list(std::vector<TokenId>{2, 4}, std::vector<std::uint32_t>{7, 9});
  state.window = {{.age = 2, .token = 2, .law = law},
                  {.level = 1, .age = 1, .token = 3, .law = TokenLaw::point(3), .noisy = {1, 2, 3}},
                  {.level = 2, .noisy = {4, 5, 6}}};
  state.statistics.judged_by_slot = {0, 1, 2, 1};
  return state;
}

/// What put() says of a state that `change` has spoiled; nothing may be written.
template <class Change>
std::string refusal(const Change& change, Position position) {
  DecoderState state = good_state();
  change(state);
  cuda::BatchImage image{shape};
  try {
    image.put(1, state, 4);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::contract);
    CHECK(error.sequence() == state.sequence);
    CHECK(error.position() == position);
    CHECK(image.states == cuda::BatchImage{shape}.states);
    CHECK(image.tokens == cuda::BatchImage{shape}.tokens);
    return error.what();
  }
  return "nothing";
}

/// The same of a change to the slot that many places behind the tip.
template <class Change>
std::string slot_refusal(std::size_t number, const Change& change) {
  const std::string text = refusal([&](DecoderState& s) { change(s.window[number - 1]); },
                                   5 + static_cast<Position>(number));
  const std::string head =
      "BatchImage: the state of sequence 5: slot " + std::to_string(number) + ": ";
  return text.starts_with(head) ? text.substr(head.size()) : text;
}

}  // namespace

TEST_CASE("a state that fits comes out of a batch as it went in") {
  cuda::BatchImage image{shape};
  const DecoderState state = good_state();
  image.put(1, state, 4);
  DecoderState copy = state;
  copy.tokens = {};
  copy.window = {};
  copy.statistics = {};
  image.get(1, copy);
  CHECK(copy == state);
}

TEST_CASE("a slot that kernels would follow behind an array is refused") {
  CHECK(slot_refusal(1, [](Slot& s) { s.age = 4; }) == "it is older than the batch counts");
  CHECK(slot_refusal(1, [](Slot& s) { s.age = -1; }) == "it is older than the batch counts");
  // Judged two passes later, as slot 1.
  CHECK(slot_refusal(3, [](Slot& s) { s.age = 2; }) == "it is older than the batch counts");
  CHECK(slot_refusal(2, [](Slot& s) { s.level = 3; }) == "its level is of another schedule");
  CHECK(slot_refusal(2, [](Slot& s) { s.level = -1; }) == "its level is of another schedule");
  const std::string length = "its noisy embedding has another length";
  CHECK(slot_refusal(2, [](Slot& s) { s.level = 0; }) == length);
  CHECK(slot_refusal(2, [](Slot& s) { s.noisy.push_back(1); }) == length);
  CHECK(slot_refusal(3, [](Slot& s) { s.noisy.clear(); }) == length);
  CHECK(slot_refusal(1, [](Slot& s) { s.noisy = {1, 2, 3}; }) == length);
  CHECK(slot_refusal(1, [](Slot& s) {
          s.law.set_list(std::vector<TokenId>{1, 2, 4}, std::vector<std::uint32_t>{1, 1, 1});
        }) == "its law is larger than the batch");
}

TEST_CASE("a state that is larger than its batch or no state is refused") {
  const std::string head = "BatchImage: the state of sequence 5: ";
  const auto large = head + "it is larger than the batch";
  CHECK(refusal([](DecoderState& s) { s.total = 21; }, 5) == large);
  CHECK(refusal([](DecoderState& s) { s.guidance = {1, 2}; }, 5) == large);
  CHECK(refusal([](DecoderState& s) { s.window.resize(4); }, 5) == large);
  const auto tokens = head + "its tokens are none of its picture";
  CHECK(refusal([](DecoderState& s) { s.total = 5; }, 5) == tokens);
  CHECK(refusal([](DecoderState& s) { s.tokens.clear(); }, -1) == tokens);
  CHECK(refusal([](DecoderState& s) { s.total = 9; }, 5) ==
        head + "its window reaches behind the picture");
  CHECK(refusal([](DecoderState& s) { s.iteration = -1; }, 5) == head + "its iteration is below 0");
  CHECK(refusal([](DecoderState& s) { s.statistics.passes_by_rows.resize(5); }, 5) ==
        head + "its counters are longer than the batch");
}

TEST_CASE("a batch without noise takes no noisy slot") {
  cuda::BatchImage image{{.ring = 4, .most_tokens = 20, .capacity = 2}};
  DecoderState state = good_state();
  state.guidance.clear();
  REQUIRE_THROWS_AS(image.put(0, state, 4), Error);
  state.window.resize(1);
  image.put(0, state, 4);
  CHECK(image.states[0].width == 1);
}

}  // namespace sjd::test
