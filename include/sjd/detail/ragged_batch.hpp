// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/stopwatch.hpp"
#include "sjd/state.hpp"
#include "sjd/types.hpp"

namespace sjd::detail {

inline constexpr auto ignore_iteration = [](const IterationEvent&) { return true; };

/// Refuses a request that is outside its range.
template <class Prompt>
void check_request(const GenerationRequest<Prompt>& request) {
  expects(request.tokens >= 0, ErrorCode::invalid_argument,
          "GenerationRequest: tokens must be >= 0");
  for (const float scale : request.guidance) {
    expects(std::isfinite(scale), ErrorCode::invalid_argument,
            "GenerationRequest: a guidance scale is not finite");
  }
  request.sampling.validate();
}

/// The state of a request before its prompt has run.
template <class Prompt>
DecoderState start_state(std::int32_t sequence, std::int64_t max_sequences,
                         const GenerationRequest<Prompt>& request) {
  expects(sequence >= 0 && sequence < max_sequences, ErrorCode::invalid_argument,
          "start: sequence must be in 0 .. model.max_sequences() - 1");
  check_request(request);
  DecoderState state;
  state.sequence = sequence;
  state.total = request.tokens;
  state.seed = request.seed;
  state.sample = request.sample;
  state.sampling = request.sampling;
  state.guidance = request.guidance;
  return state;
}

/// The unfinished states in the order of their sequences, as ForwardPass wants its rows.
///
/// errors  invalid_argument if two of them claim one sequence of the host
inline void collect_live(std::span<DecoderState> states, std::vector<DecoderState*>& live) {
  live.clear();
  for (DecoderState& state : states) {
    if (!state.finished()) live.push_back(&state);
  }
  std::sort(live.begin(), live.end(),
            [](const DecoderState* a, const DecoderState* b) { return a->sequence < b->sequence; });
  for (std::size_t i = 1; i < live.size(); ++i) {
    expects(live[i - 1]->sequence != live[i]->sequence, ErrorCode::invalid_argument,
            "step: two states claim the same sequence of the model");
  }
}

/// One running sequence of a batch.
struct RunningRequest {
  std::size_t index = 0;  ///< request that it answers
  double host_seconds = 0.0;
  double library_seconds = 0.0;
  double corrector_seconds = 0.0;
  bool cancelled = false;
};

/// Seconds that a decoder spent in its corrector so far; 0 if it is of a kind that has none.
template <class Decoder>
double corrector_seconds_of(const Decoder& decoder) {
  if constexpr (requires { decoder.corrector_seconds(); }) return decoder.corrector_seconds();
  return 0.0;
}

/// Decodes all requests with a decoder that has start(), step(), host_seconds() and model().
///
/// edge    no requests, or requests of 0 tokens: the model is not called
/// errors  a request outside its range is refused before any of them runs
template <class Decoder, class Request, class Callback>
std::vector<GenerationResult> run_ragged_batch(Decoder& decoder, std::span<const Request> requests,
                                               Callback& on_iteration) {
  expects(decoder.model().max_sequences() >= 1, ErrorCode::invalid_argument,
          "generate: model.max_sequences() must be at least 1");
  for (const Request& request : requests) check_request(request);
  std::vector<GenerationResult> results(requests.size());
  std::vector<DecoderState> states;
  std::vector<RunningRequest> running;
  std::vector<std::int32_t> free;
  for (auto s = static_cast<std::int32_t>(decoder.model().max_sequences()) - 1; s >= 0; --s) {
    free.push_back(s);
  }
  std::size_t waiting = 0;
  double host_before = decoder.host_seconds();
  double corrector_before = corrector_seconds_of(decoder);
  const auto book = [&](const Stopwatch& watch, RunningRequest& entry) {
    const double host = decoder.host_seconds() - host_before;
    entry.host_seconds += host;
    entry.library_seconds += watch.seconds() - host;
    entry.corrector_seconds += corrector_seconds_of(decoder) - corrector_before;
  };
  while (waiting < requests.size() || !states.empty()) {
    while (waiting < requests.size() && !free.empty()) {
      host_before = decoder.host_seconds();
      corrector_before = corrector_seconds_of(decoder);
      const Stopwatch watch;
      states.push_back(decoder.start(free.back(), requests[waiting]));
      free.pop_back();
      running.push_back({.index = waiting++});
      book(watch, running.back());
    }
    host_before = decoder.host_seconds();
    corrector_before = corrector_seconds_of(decoder);
    const Stopwatch watch;
    const std::vector<IterationEvent> events = decoder.step(states);
    for (RunningRequest& entry : running) book(watch, entry);
    for (const IterationEvent& event : events) {
      const auto at = static_cast<std::size_t>(&event.state - states.data());
      running[at].cancelled = !on_iteration(event);
    }
    for (std::size_t i = states.size(); i-- > 0;) {
      if (!states[i].finished() && !running[i].cancelled) continue;
      results[running[i].index] = {std::move(states[i].tokens), std::move(states[i].statistics),
                                   running[i].cancelled,        running[i].host_seconds,
                                   running[i].library_seconds,  running[i].corrector_seconds};
      free.push_back(states[i].sequence);
      states.erase(states.begin() + static_cast<std::ptrdiff_t>(i));
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  return results;
}

}  // namespace sjd::detail
