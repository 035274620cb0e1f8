// SPDX-License-Identifier: Apache-2.0
// Ragged batches: the tokens of a picture depend on its request alone.
#include <algorithm>
#include <numeric>

#include "support/compositions.hpp"

namespace sjd::test {
namespace {

/// Everything about a result but the clock.
struct Outcome {
  std::vector<TokenId> tokens;
  DecodeStatistics statistics;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

template <class Decoder>
std::vector<Outcome> outcomes(Decoder& decoder, const std::vector<Request>& requests) {
  std::vector<Outcome> all;
  for (GenerationResult& r : decoder.generate(requests)) {
    all.push_back({std::move(r.tokens), std::move(r.statistics)});
  }
  return all;
}

/// Decodes each request by itself.
template <class C>
std::vector<Outcome> alone(const C& c, const std::vector<Request>& requests) {
  TableHost host{options_for(c, {.vocab = 6, .dim = 2, .seed = 12})};
  return c.with(host, 6, [&](auto& decoder) {
    std::vector<Outcome> all;
    for (const Request& request : requests) {
      all.push_back(outcomes(decoder, {request}).front());
    }
    return all;
  });
}

}  // namespace

TEST_CASE("tokens do not depend on batch size, order or mates") {
  for_each_composition([](const auto& c) {
    INFO(c.name);
    const std::vector<Request> requests = mixed_requests(13);
    const std::vector<Outcome> expected = alone(c, requests);
    for (const std::int32_t sequences : {1, 2, 5, 16}) {
      TableHost host{options_for(c, {.vocab = 6, .dim = 2, .seed = 12, .sequences = sequences})};
      c.with(host, 6, [&](auto& decoder) { CHECK(outcomes(decoder, requests) == expected); });
    }
    std::vector<std::size_t> order(requests.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (int shuffle = 0; shuffle < 3; ++shuffle) {
      std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const auto salt = static_cast<std::uint64_t>(shuffle) * 1000;
        return mix(a + salt) < mix(b + salt);
      });
      std::vector<Request> shuffled;
      for (const std::size_t i : order) shuffled.push_back(requests[i]);
      TableHost host{options_for(c, {.vocab = 6, .dim = 2, .seed = 12, .sequences = 4})};
      c.with(host, 6, [&](auto& decoder) {
        const std::vector<Outcome> found = outcomes(decoder, shuffled);
        for (std::size_t i = 0; i < order.size(); ++i) CHECK(found[i] == expected[order[i]]);
      });
    }
  });
}

TEST_CASE("sequences join and leave between iterations") {
  TableHost host{{.vocab = 6, .seed = 12, .sequences = 3, .posterior_mean = true}};
  SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = 6}, table_schedule()};
  const std::vector<Request> requests = mixed_requests(3);
  std::vector<Outcome> expected;
  for (const Request& request : requests) expected.push_back(outcomes(decoder, {request}).front());

  std::vector<DecoderState> states;
  states.push_back(decoder.start(2, requests[0]));
  decoder.step(states);
  states.push_back(decoder.start(0, requests[1]));
  decoder.step(states);
  decoder.step(states);
  // The first one leaves for a while; its cache stays with the host.
  DecoderState waiting = states[0];
  states.erase(states.begin());
  states.push_back(decoder.start(1, requests[2]));
  decoder.step(states);
  states.push_back(waiting);
  while (!std::all_of(states.begin(), states.end(), [](const auto& s) { return s.finished(); })) {
    decoder.step(states);
  }
  CHECK(Outcome{states[0].tokens, states[0].statistics} == expected[1]);
  CHECK(Outcome{states[1].tokens, states[1].statistics} == expected[2]);
  CHECK(Outcome{states[2].tokens, states[2].statistics} == expected[0]);
}

TEST_CASE("samples of one seed differ, and equal requests agree") {
  TableHost host{{.vocab = 6, .seed = 12, .sequences = 8}};
  std::vector<Request> requests(8, Request{.tokens = 40, .seed = 1});
  CoupledSjd<TableHost> decoder{host};
  const auto same = decoder.generate(requests);
  for (const auto& r : same) CHECK(r.tokens == same[0].tokens);
  for (std::size_t i = 0; i < requests.size(); ++i) requests[i].sample = i;
  const auto different = decoder.generate(requests);
  for (std::size_t i = 1; i < different.size(); ++i) {
    CHECK(different[i].tokens != different[0].tokens);
  }
}

}  // namespace sjd::test
