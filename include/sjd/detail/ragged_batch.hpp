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
#include "sjd/detail/in_use.hpp"
#include "sjd/state.hpp"
#include "sjd/types.hpp"

namespace sjd::detail {

inline constexpr auto ignore_iteration = [](const IterationEvent&) { return true; };

inline constexpr std::int64_t most_tokens = std::int64_t{1} << 20;
inline constexpr std::size_t most_scales = 1'024;

/// Refuses a request that is outside its range.
template <class Prompt>
void check_request(const GenerationRequest<Prompt>& request) {
  expects(request.tokens >= 0, ErrorCode::invalid_argument,
          "GenerationRequest: tokens must be >= 0");
  expects(request.tokens <= most_tokens, ErrorCode::invalid_argument,
          "GenerationRequest: tokens must be at most 2^20");
  expects(request.guidance.size() <= most_scales, ErrorCode::invalid_argument,
          "GenerationRequest: at most 1024 guidance scales");
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
/// errors  a request outside its range is refused before any of them runs; contract if the callback
///         calls the decoder
template <class Decoder, class Request, class Callback>
std::vector<GenerationResult> run_ragged_batch(Decoder& decoder, std::span<const Request> requests,
                                               Callback& on_iteration, InUse& in_use) {
  const auto held = in_use.batch();
  expects(decoder.model().max_sequences() >= 1, ErrorCode::invalid_argument,
          "generate: model.max_sequences() must be at least 1");
  for (const Request& request : requests) check_request(request);
  std::vector<GenerationResult> results(requests.size());
  std::vector<DecoderState> states;
  std::vector<RunningRequest> running;
  std::vector<std::int32_t> free;
  const std::int64_t sequences = std::min<std::int64_t>(decoder.model().max_sequences(),
                                                        static_cast<std::int64_t>(requests.size()));
  for (auto s = static_cast<std::int32_t>(sequences) - 1; s >= 0; --s) free.push_back(s);
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
    const auto calling = in_use.call();  // the callback must not call the decoder
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
