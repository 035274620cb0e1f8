// SPDX-License-Identifier: Apache-2.0
// The two-phase step: whatever throws, throws before any state changed, and the same call repeated
// gives the tokens of a run without faults.
#include <cmath>

#include "support/compositions.hpp"

namespace sjd::test {
namespace {

std::vector<Request> three_requests() {
  std::vector<Request> requests = mixed_requests(3);
  for (Request& request : requests) request.tokens = 17;
  return requests;
}

bool all_finished(const std::vector<DecoderState>& states) {
  for (const DecoderState& state : states) {
    if (!state.finished()) return false;
  }
  return true;
}

/// Decodes three sequences by start() and step(); repeats a call that threw, after checking that
/// nothing moved. Returns how many faults were seen.
template <class Decoder>
int decode_through_faults(Decoder& decoder, std::vector<DecoderState>& states) {
  int faults = 0;
  const std::vector<Request> requests = three_requests();
  for (std::size_t i = 0; i < requests.size();) {
    try {
      states.push_back(decoder.start(static_cast<std::int32_t>(i), requests[i]));
      ++i;
    } catch (const std::runtime_error&) {
      ++faults;
    }
  }
  while (!all_finished(states)) {
    const std::vector<DecoderState> before = states;
    try {
      decoder.step(states);
    } catch (const std::runtime_error&) {
      REQUIRE(states == before);
      ++faults;
    }
  }
  return faults;
}

}  // namespace

TEST_CASE("a host that throws at any call changes nothing, and a retry gives the same tokens") {
  for_each_composition([](const auto& c) {
    INFO(c.name);
    TableOptions options = options_for(c, {.vocab = 5, .dim = 2, .seed = 9, .sequences = 3});
    TableHost clean_host{options};
    std::vector<DecoderState> expected;
    c.with(clean_host, 5,
           [&](auto& decoder) { CHECK(decode_through_faults(decoder, expected) == 0); });
    for (std::int64_t call = 0; call < clean_host.calls; ++call) {
      TableHost host{options};
      host.fail_at_call = call;
      std::vector<DecoderState> states;
      c.with(host, 5, [&](auto& decoder) { CHECK(decode_through_faults(decoder, states) == 1); });
      REQUIRE(states == expected);
    }
  });
}

TEST_CASE("logits that turn bad behind the pass leave every state as it was") {
  TableOptions options{.vocab = 5, .dim = 2, .seed = 9, .sequences = 3, .posterior_mean = true};
  TableHost clean_host{options};
  SpeculativeJacobiDenoiser clean{clean_host, FixedWindow{.tokens = 5}, table_schedule()};
  std::vector<DecoderState> expected;
  decode_through_faults(clean, expected);
  for (std::int64_t bad = 3; bad < clean_host.calls; ++bad) {
    TableHost host{options};
    bool spoilt = false;
    // The last row belongs to the last sequence: the others were planned by then.
    host.spoil = [&](MatrixView<float> logits) {
      if (host.calls - 1 != bad || spoilt) return;
      spoilt = true;
      logits.row(logits.rows - 1)[0] = NAN;
    };
    SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = 5}, table_schedule()};
    std::vector<DecoderState> states;
    const int faults = decode_through_faults(decoder, states);
    CHECK(spoilt);
    CHECK(faults == 1);
    CHECK(states == expected);
  }
}

TEST_CASE("plain AR is two-phase as well") {
  TableOptions options{.vocab = 5, .seed = 9, .sequences = 3};
  TableHost clean_host{options};
  PlainAr clean{clean_host};
  std::vector<DecoderState> expected;
  decode_through_faults(clean, expected);
  for (std::int64_t call = 0; call < clean_host.calls; ++call) {
    TableHost host{options};
    host.fail_at_call = call;
    PlainAr decoder{host};
    std::vector<DecoderState> states;
    CHECK(decode_through_faults(decoder, states) == 1);
    CHECK(states == expected);
  }
}

TEST_CASE("a state is a value: a copy resumes to the same tokens on another host") {
  for_each_composition([](const auto& c) {
    INFO(c.name);
    const TableOptions options = options_for(c, {.vocab = 5, .dim = 2, .seed = 21});
    const Request request{.prompt = {{4}}, .tokens = 30, .seed = 2, .guidance = {1.5F}};
    TableHost host{options};
    c.with(host, 6, [&](auto& decoder) {
      std::vector<DecoderState> states{decoder.start(0, request)};
      std::vector<DecoderState> points{states};
      std::vector<std::vector<std::vector<TableCache>>> caches{host.caches};
      while (!states[0].finished()) {
        decoder.step(states);
        CHECK_FALSE(states[0] == points.back());
        points.push_back(states[0]);
        caches.push_back(host.caches);
      }
      for (std::size_t i = 0; i < points.size(); ++i) {
        TableHost other{options};
        other.caches = caches[i];
        c.with(other, 6, [&](auto& resumed) {
          std::vector<DecoderState> copy{points[i]};
          while (!copy[0].finished()) resumed.step(copy);
          CHECK(copy[0] == states[0]);
        });
      }
    });
  });
}

TEST_CASE("a step over finished states leaves them alone and calls nobody") {
  TableHost host{{.vocab = 4}};
  CoupledSjd<TableHost> decoder{host};
  std::vector<DecoderState> states{decoder.start(0, {.tokens = 1})};
  CHECK(states[0].finished());
  CHECK(states[0].window.empty());
  const DecoderState before = states[0];
  CHECK(decoder.step(states).empty());
  CHECK(decoder.step({}).empty());
  CHECK(states[0] == before);
  CHECK(host.calls == 1);
}

}  // namespace sjd::test
