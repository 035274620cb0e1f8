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

/// The sequences that run at the moment, each of them for one request.
template <class Decoder, class Request>
class RaggedBatch {
 public:
  RaggedBatch(Decoder& decoder, std::span<const Request> requests)
      : decoder_{&decoder}, requests_{requests}, results_(requests.size()) {
    const auto sequences = static_cast<std::int32_t>(
        std::min<std::int64_t>(decoder.model().max_sequences(), std::ssize(requests)));
    for (std::int32_t s = sequences - 1; s >= 0; --s) free_.push_back(s);
  }

  [[nodiscard]] bool is_done() const { return waiting_ == requests_.size() && states_.empty(); }

  /// Starts waiting requests while there are free sequences.
  void admit() {
    while (waiting_ < requests_.size() && !free_.empty()) {
      const Clock clock{*decoder_};
      states_.push_back(decoder_->start(free_.back(), requests_[waiting_]));
      free_.pop_back();
      running_.push_back({.index = waiting_++});
      clock.book(*decoder_, running_.back());
    }
  }

  /// One iteration of all of them.
  template <class Callback>
  void step(Callback& on_iteration, InUse& in_use) {
    const Clock clock{*decoder_};
    const std::vector<IterationEvent> events = decoder_->step(states_);
    for (RunningRequest& entry : running_) clock.book(*decoder_, entry);
    const auto calling = in_use.call();  // the callback must not call the decoder
    for (const IterationEvent& event : events) {
      const auto at = static_cast<std::size_t>(&event.state - states_.data());
      running_[at].cancelled = !on_iteration(event);
    }
  }

  /// Takes the results of those that are finished or cancelled and frees their sequences.
  void retire() {
    for (std::size_t i = states_.size(); i-- > 0;) {
      DecoderState& state = states_[i];
      const RunningRequest& entry = running_[i];
      if (!state.finished() && !entry.cancelled) continue;
      results_[entry.index] = {std::move(state.tokens), std::move(state.statistics),
                               entry.cancelled,         entry.host_seconds,
                               entry.library_seconds,   entry.corrector_seconds};
      free_.push_back(state.sequence);
      states_.erase(states_.begin() + static_cast<std::ptrdiff_t>(i));
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  [[nodiscard]] std::vector<GenerationResult> take() { return std::move(results_); }

 private:
  /// What one call of the decoder takes, in it and in the model.
  class Clock {
   public:
    explicit Clock(const Decoder& decoder)
        : host_{decoder.host_seconds()}, corrector_{corrector_seconds_of(decoder)} {}

    void book(const Decoder& decoder, RunningRequest& entry) const {
      const double host = decoder.host_seconds() - host_;
      entry.host_seconds += host;
      entry.library_seconds += watch_.seconds() - host;
      entry.corrector_seconds += corrector_seconds_of(decoder) - corrector_;
    }

   private:
    double host_;
    double corrector_;
    Stopwatch watch_;
  };

  Decoder* decoder_;
  std::span<const Request> requests_;
  std::size_t waiting_ = 0;                // the first request that has not begun
  std::vector<GenerationResult> results_;  // [requests]
  std::vector<DecoderState> states_;       // [running]
  std::vector<RunningRequest> running_;    // [running]
  std::vector<std::int32_t> free_;         // sequences of the model, the next one last
};

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
  RaggedBatch<Decoder, Request> batch{decoder, requests};
  while (!batch.is_done()) {
    batch.admit();
    batch.step(on_iteration, in_use);
    batch.retire();
  }
  return batch.take();
}

}  // namespace sjd::detail
