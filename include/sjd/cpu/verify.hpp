// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/policies/acceptance.hpp"
#include "sjd/state.hpp"

namespace sjd::cpu {

/// What the criterion decided about one window.
struct Verdict {
  std::int64_t judged = 0;    ///< slots 1..judged were tested
  std::int64_t accepted = 0;  ///< slots 1..accepted are committed
  TokenId token = -1;         ///< recovered or bonus token behind them; -1 if there is none
  bool recovered = false;     ///< the token replaces a rejected draft

  /// Tokens that the iteration commits; at least one.
  [[nodiscard]] std::int64_t committed() const { return accepted + (token >= 0 ? 1 : 0); }
};

/// Number of slots from the left that are clean.
inline std::int64_t clean_prefix(std::span<const Slot> window) {
  const auto noisy =
      std::find_if(window.begin(), window.end(), [](const Slot& slot) { return slot.level > 0; });
  return noisy - window.begin();
}

/// The laws of a pass, each built when it is first asked for: most passes judge a few rows only,
/// and a law behind the new tip may be corrected before it is built.
template <class Build>
class LawsOnDemand {
 public:
  /// `build(j)` writes laws[j].
  LawsOnDemand(std::span<const TokenLaw> laws, Build build)
      : laws_{laws}, build_{std::move(build)} {}

  /// Law j, and with it all laws before.
  const TokenLaw& operator[](std::size_t j) {
    while (built_ <= j) build_(static_cast<std::int64_t>(built_++));
    return laws_[j];
  }

 private:
  std::span<const TokenLaw> laws_;
  Build build_;
  std::size_t built_ = 0;
};

/// Judges a window from the left and draws the token that ends the iteration.
///
/// With c clean slots in front, only laws 0..c saw nothing but clean rows: under the gate they
/// alone judge (slots 1..c+1) and correct. Slot c+1 may be noisy: its judge does not see it. If it
/// is accepted there is no bonus, because row c+1 saw noise.
///
/// shapes  laws [window + 1]: laws[j] is the target law of position committed + j; asked for in
///         ascending order and only as far as the criterion goes
/// edge    an empty window gives one bonus token from laws[0]; a slot without a token ends the
///         prefix
/// errors  those of the criterion, with the sequence
/// source  docs/algorithm.md, step 2; arXiv 2510.08994 (criterion)
template <class Acceptance, RandomGate Gate, class Laws>
[[nodiscard]] Verdict verify(const Acceptance& acceptance, Gate& gate, const DecoderState& state,
                             std::int64_t iteration, Laws&& laws) {
  const std::span<const Slot> window = state.window;
  const auto width = static_cast<std::int64_t>(window.size());
  const std::int64_t clean = Acceptance::clean_prefix_only ? clean_prefix(window) : width;
  Verdict verdict;
  for (std::int64_t i = 0; i < std::min(width, clean + 1); ++i) {
    const Slot& slot = window[static_cast<std::size_t>(i)];
    if (!slot.has_token()) break;
    const DrawKey key{.position = state.committed() + i, .iteration = iteration};
    const TokenLaw& target = laws[static_cast<std::size_t>(i)];
    verdict.judged = i + 1;
    if (!acceptance.accept(gate, key, slot, target)) {
      verdict.token = naming_sequence(state.sequence,
                                      [&] { return acceptance.recover(gate, key, slot, target); });
      verdict.recovered = true;
      return verdict;
    }
    verdict.accepted = i + 1;
  }
  if (verdict.accepted <= clean) {
    const DrawKey key{.position = state.committed() + verdict.accepted, .iteration = iteration};
    verdict.token = acceptance.bonus(gate, key, laws[static_cast<std::size_t>(verdict.accepted)]);
  }
  return verdict;
}

}  // namespace sjd::cpu
