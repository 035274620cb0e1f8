// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sjd/core/sampling.hpp"
#include "sjd/model.hpp"

namespace sjd {

/// One picture to decode.
template <class Prompt>
struct GenerationRequest {
  Prompt prompt{};
  std::int64_t tokens = 0;  ///< tokens of the picture; 0 gives an empty result
  std::uint64_t seed = 0;   ///< same seed, sample and request: same tokens, whatever runs beside it
  std::uint64_t sample = 0;    ///< number of the picture within the seed
  SamplingOptions sampling{};  ///< temperature, top-k, top-p
  std::vector<float>
      guidance{};  ///< empty: one branch; {s}: u + s (c - u); N scales: N + 1 branches
};

/// Counters of one sequence. Slots are numbered from 1, the first behind the tip.
struct DecodeStatistics {
  std::int64_t forward_passes = 0;  ///< model calls that carried this sequence; prefill not counted
  std::int64_t rows = 0;            ///< rows that it put into them, all branches
  std::int64_t accepted = 0;        ///< drafts accepted
  std::int64_t recovered = 0;       ///< tokens drawn after a rejection
  std::int64_t bonus = 0;           ///< tokens drawn behind a fully accepted prefix
  std::vector<std::int64_t> judged_by_slot;    ///< [slot - 1]
  std::vector<std::int64_t> accepted_by_slot;  ///< [slot - 1]
  std::vector<std::int64_t> judged_by_age;     ///< [passes since the slot entered]
  std::vector<std::int64_t> accepted_by_age;   ///< [passes since the slot entered]
  /// [rows a branch - 1] passes of that width; PlainAr's all carry one row.
  std::vector<std::int64_t> passes_by_rows;

  friend bool operator==(const DecodeStatistics&, const DecodeStatistics&) = default;
};

/// A decoded picture.
struct GenerationResult {
  std::vector<TokenId> tokens;  ///< [request.tokens], shorter only if cancelled
  DecodeStatistics statistics;
  bool cancelled = false;
  /// Inside Model::prefill and Model::forward, shared by its batch-mates.
  double host_seconds = 0.0;
  double library_seconds = 0.0;    ///< everything else, shared by its batch-mates
  double corrector_seconds = 0.0;  ///< the part of library_seconds spent in the corrector

  /// Tokens per forward pass (tau); the first token comes from the prefill and is counted.
  [[nodiscard]] double tokens_per_pass() const {
    return statistics.forward_passes == 0 ? 0.0
                                          : static_cast<double>(tokens.size()) /
                                                static_cast<double>(statistics.forward_passes);
  }
};

}  // namespace sjd
