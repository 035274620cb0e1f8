// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "support/compositions.hpp"
#include "support/faulty_host.hpp"
#include "support/latency_host.hpp"

namespace sjd::test {

/// Redraws drafts from the hidden row that predicted them, whenever the token to the left changed.
struct HiddenCorrector {
  using role = role::corrector;
  static constexpr bool reads_hidden = true;
  std::int64_t depth = 4;

  template <class Model>
  [[nodiscard]] bool correct(Model&, const CorrectionContext& context,
                             std::span<float> logits) const {
    if (context.now(1) == context.before(1)) return false;
    const std::span<const float> hidden = context.hidden().row(context.row());
    for (std::size_t v = 0; v < logits.size(); ++v) logits[v] += hidden[v % hidden.size()];
    return true;
  }
};

inline TableOptions fault_options(bool mean) {
  return {.vocab = 6, .dim = 2, .seed = 19, .sequences = 3, .posterior_mean = mean};
}

/// Three pictures that differ in length, branches and filters.
inline std::vector<Request> fault_requests() {
  return {{.prompt = {{1, 2}}, .tokens = 12, .seed = 5},
          {.prompt = {{3}}, .tokens = 9, .seed = 6, .sample = 2, .guidance = {2.0F}},
          {.prompt = {{4, 5, 6}},
           .tokens = 10,
           .seed = 7,
           .sampling = {.temperature = 0.75F, .top_k = 5, .top_p = 0.9F},
           .guidance = {1.5F, -0.5F}}};
}

/// Calls body(name, posterior_mean, make) for the compositions that read hidden rows.
template <class Body>
void for_each_corrected(Body&& body) {
  const auto add = [&](const auto& c) {
    body(c.name, true, [&](auto& host, auto&& use) { c.with(host, 5, use); });
  };
  add(composition("SJD corrected", NoNoise{}, HiddenCorrector{}));
  add(composition("SJD2 corrected", table_schedule(), HiddenCorrector{}));
}

/// Calls body(name, posterior_mean, make) for plain AR and one composition of every kind, with and
/// without a corrector, and one whose window moves; make(host, use) calls use(decoder).
template <class Body>
void for_each_decoder(Body&& body) {
  body(std::string{"plain AR"}, false, [](auto& host, auto&& use) {
    PlainAr decoder{host};
    use(decoder);
  });
  for_each_composition([&](const auto& c) {
    body(c.name, c.mean, [&](auto& host, auto&& use) { c.with(host, 5, use); });
  });
  for_each_corrected(body);
  body(std::string{"SJD2 coupled, window by cost"}, true, [](auto& host, auto&& use) {
    SpeculativeJacobiDenoiser decoder{host, moody_window(6, 2), table_schedule()};
    use(decoder);
  });
}

inline bool all_finished(const std::vector<DecoderState>& states) {
  return std::all_of(states.begin(), states.end(), [](const auto& s) { return s.finished(); });
}

/// Repeats `call` until it returns; `caught(exception)` judges what it throws.
template <class Call, class Caught>
auto persist(Call&& call, Caught&& caught) {
  while (true) {
    try {
      return call();
    } catch (...) {
      caught(std::current_exception());
    }
  }
}

/// Starts and finishes all pictures; `caught(exception, states)` judges what is thrown on the way,
/// and may finish states of its own.
template <class Decoder, class Caught>
std::vector<DecoderState> decode_all(Decoder& decoder, const std::vector<Request>& requests,
                                     Caught&& caught) {
  std::vector<DecoderState> states;
  states.reserve(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    states.push_back(
        persist([&] { return decoder.start(static_cast<std::int32_t>(i), requests[i]); },
                [&](const std::exception_ptr& e) { caught(e, states); }));
  }
  while (!all_finished(states)) {
    const std::vector<DecoderState> before = states;
    persist([&] { decoder.step(states); },
            [&](const std::exception_ptr& e) {
              CHECK(states == before);
              caught(e, states);
            });
  }
  return states;
}

}  // namespace sjd::test
