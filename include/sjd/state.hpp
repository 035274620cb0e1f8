// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sjd/core/sampling.hpp"
#include "sjd/core/slot.hpp"
#include "sjd/types.hpp"

namespace sjd {

/// Everything that one sequence is between two iterations: a value, copyable and comparable.
///
/// tokens.back() is the tip: committed, but not yet in the KV cache, which holds tokens.size() - 1
/// image rows.
struct DecoderState {
  std::int32_t sequence = 0;  ///< the host's sequence
  std::int64_t total = 0;     ///< tokens of the finished picture
  std::uint64_t seed = 0;
  std::uint64_t sample = 0;
  SamplingOptions sampling{};
  std::vector<float> guidance;  ///< scales; branches = guidance.size() + 1
  std::int64_t iteration = 0;   ///< committed iterations; the prefill is iteration 0
  std::vector<TokenId> tokens;  ///< [committed]
  std::vector<Slot> window;     ///< [drafts], positions tokens.size() ...
  DecodeStatistics statistics;

  [[nodiscard]] std::int64_t committed() const { return static_cast<std::int64_t>(tokens.size()); }
  [[nodiscard]] std::int32_t branches() const {
    return static_cast<std::int32_t>(guidance.size()) + 1;
  }
  [[nodiscard]] bool finished() const { return committed() >= total; }

  friend bool operator==(const DecoderState&, const DecoderState&) = default;
};

/// What one iteration did to one sequence; handed to the callback after the commit.
struct IterationEvent {
  /// After the commit: committed tokens and the drafts of the next pass.
  const DecoderState& state;
  std::int64_t accepted = 0;  ///< drafts accepted
  /// Tokens added: accepted, and the recovered or bonus token if there is one.
  std::int64_t committed = 0;
  std::int64_t rows = 0;  ///< rows of this sequence in the pass, all branches
};

}  // namespace sjd
