// SPDX-License-Identifier: Apache-2.0
// No two draws of one decode share a counter, but for the noise that is shared on purpose.
#include "support/compositions.hpp"
#include "support/latency_host.hpp"
#include "support/recording_gate.hpp"

namespace sjd::test {

namespace {

template <class C, class Window>
void check_counters(const C& c, const Window& window) {
  TableHost host{options_for(c, {.vocab = 9, .dim = 5, .seed = 2})};
  CounterAudit audit;
  std::apply(
      [&](const auto&... policy) {
        SpeculativeJacobiDenoiser decoder{host, window, RecordingRandom{&audit}, policy...};
        const auto picture = decoder.generate({.tokens = 60, .seed = 3});
        CHECK(picture.tokens.size() == 60);
      },
      c.policies);
  CHECK(audit.repeated == 0);
  CHECK(audit.out_of_range == 0);
}

}  // namespace

TEST_CASE("every draw has a counter of its own") {
  for_each_composition([](const auto& c) {
    INFO(c.name);
    for (const std::int64_t window : {1, 2, 7, 40}) {
      check_counters(c, FixedWindow{.tokens = window});
    }
    check_counters(c, moody_window(12));
  });
}

TEST_CASE("plain AR uses one counter a token") {
  TableHost host{{.vocab = 9}};
  CounterAudit audit;
  PlainAr decoder{host, RecordingRandom{&audit}};
  const auto picture = decoder.generate({.tokens = 60, .seed = 3});
  CHECK(picture.tokens.size() == 60);
  CHECK(audit.repeated == 0);
  CHECK(audit.used.size() == 60);
}

TEST_CASE("the audit itself sees a repeated counter") {
  CounterAudit audit;
  RecordingGate gate{PhiloxGate{1, 1}, audit};
  const TokenLaw law = TokenLaw::uniform(4);
  CHECK(gate.categorical({3, 1, Purpose::entry}, law) ==
        gate.categorical({3, 1, Purpose::entry}, law));
  CHECK(audit.repeated == 1);
}

}  // namespace sjd::test
