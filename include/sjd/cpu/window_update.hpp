// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "sjd/core/embedding_space.hpp"
#include "sjd/core/error.hpp"
#include "sjd/cpu/kernels.hpp"
#include "sjd/cpu/verify.hpp"
#include "sjd/policies/noise_schedule.hpp"
#include "sjd/state.hpp"

namespace sjd::cpu {

/// One deterministic denoising step of z towards the clean estimate, in place.
///
/// z' = (sigma'/sigma) z + (alpha' - alpha sigma'/sigma) x0
///
/// shapes  inout_z, clean [dim]
/// source  arXiv 2010.02502 (DDIM, eta = 0), arXiv 2510.08994
inline void denoise(NoiseCoefficients from, NoiseCoefficients to, std::span<const float> clean,
                    std::span<float> inout_z) {
  const float keep = to.sigma / from.sigma;
  const float pull = std::fma(-from.alpha, keep, to.alpha);
  kernels().denoise(keep, pull, clean.data(), inout_z.data(),
                    static_cast<std::int64_t>(inout_z.size()));
}

/// The policies that move a window, borrowed for one call.
template <class Schedule, class Refinement, class Initialization, class Grammar>
struct WindowRules {
  const Schedule& schedule;
  const Refinement& refinement;
  const Initialization& initialization;
  const Grammar& grammar;
  const EmbeddingSpace& space;  ///< empty without noise
};

/// Throws unless a slot that goes on to `level` has the token that it needs there.
inline void expect_token(const Slot& slot, std::int32_t level, Position position) {
  if (slot.has_token() || (level > 0 && level == slot.level)) return;
  throw Error{ErrorCode::contract, "the refinement left a slot without a token", -1, position};
}

/// Gives a surviving slot its token of this pass and, if it is noisy, one denoising step.
///
/// `distance` >= 1 counts positions from the tip of the next pass.
///
/// errors  contract, naming the position, if the refinement leaves no token where one is needed:
///         in a clean slot, or for the denoising step of a noisy one
template <class Rules, RandomGate Gate>
void refine_slot(const Rules& rules, Gate& gate, DrawKey key, std::int64_t distance,
                 const TokenLaw& target, Slot& slot) {
  rules.refinement.refresh(gate, key, slot, target);
  if constexpr (requires { rules.schedule.next_level(slot.level, distance); }) {
    const std::int32_t level =
        slot.level == 0 ? 0 : rules.schedule.next_level(slot.level, distance);
    expect_token(slot, level, key.position);
    if (slot.level == 0) return;
    if (level == 0) {
      slot.noisy.clear();
    } else if (level != slot.level) {
      denoise(rules.schedule.coefficients(rules.schedule.checkpoint_level(slot.level)),
              rules.schedule.coefficients(rules.schedule.checkpoint_level(level)),
              rules.space.clean(slot.token), slot.noisy);
    }
    slot.level = level;
  } else {
    expect_token(slot, 0, key.position);
  }
}

/// A slot that enters at the right end: forced by the grammar, pure noise, or an initial token.
///
/// `target` is the law of its position if this pass computed one (the row of the last slot), else
/// null: a noisy slot then waits as pure noise, a clean one takes what the initialisation gives.
template <class Rules, RandomGate Gate>
Slot enter_slot(const Rules& rules, Gate& gate, DrawKey key, std::int64_t distance, TokenId left,
                std::int64_t vocab, const TokenLaw* target) {
  Slot slot;
  if (const TokenId only = rules.grammar.forced(key.position); only >= 0) {
    slot.token = only;
    slot.law.set_point(only);
    return slot;
  }
  if constexpr (requires { rules.schedule.next_level(slot.level, distance); }) {
    slot.level = rules.schedule.levels;
    slot.noisy.resize(static_cast<std::size_t>(rules.space.dim));
    key.purpose = Purpose::noise;
    gate.gaussian(key, slot.noisy);
    const float sigma =
        rules.schedule.coefficients(rules.schedule.checkpoint_level(slot.level)).sigma;
    for (float& z : slot.noisy) z *= sigma;
  } else if (target == nullptr) {
    rules.initialization.enter(gate, key, left, vocab, slot);
  }
  if (target != nullptr) refine_slot(rules, gate, key, distance, *target, slot);
  return slot;
}

/// Fills the window of `inout_next` to `slots` slots; its first new slot may use `target`.
template <class Rules, RandomGate Gate>
void fill_window(const Rules& rules, Gate& gate, std::int64_t slots, std::int64_t vocab,
                 const TokenLaw* target, DecoderState& inout_next) {
  std::vector<Slot>& window = inout_next.window;
  while (static_cast<std::int64_t>(window.size()) < slots) {
    const auto index = static_cast<std::int64_t>(window.size());
    const TokenId left = window.empty() ? inout_next.tokens.back() : window.back().token;
    const DrawKey key{.position = inout_next.committed() + index,
                      .iteration = inout_next.iteration};
    window.push_back(naming_sequence(inout_next.sequence, [&] {
      return enter_slot(rules, gate, key, index + 1, left, vocab, target);
    }));
    target = nullptr;
  }
}

/// Drafts of a window of `width` that stay behind `shift` committed positions when the next pass
/// wants `slots` of them.
inline std::int64_t surviving_slots(std::int64_t width, std::int64_t shift, std::int64_t slots) {
  return std::max<std::int64_t>(0, std::min(width - shift, slots));
}

/// Commits a verdict into `inout_next` (a copy of the state before the pass): tokens, surviving
/// slots refined by the laws of this pass, new slots at the right.
///
/// `complete(index)` writes laws[index] of an old slot before the slot moves to it; every slot to
/// its left has moved already. It also writes the law behind the last slot, index = window, unless
/// that slot was dropped or the law is known from verification.
///
/// shapes  laws [window + 1]; slots: drafts wanted for the next pass
/// edge    a narrower window drops its surviving slots from the right, unread; a finished picture
///         keeps no window
template <class Rules, RandomGate Gate, class Complete>
void advance(const Rules& rules, Gate& gate, const Verdict& verdict, std::span<const TokenLaw> laws,
             std::int64_t slots, std::int64_t vocab, DecoderState& inout_next,
             Complete&& complete) {
  std::vector<Slot>& window = inout_next.window;
  const auto width = static_cast<std::int64_t>(window.size());
  const std::int64_t first_position = inout_next.committed();
  const std::int64_t shift = verdict.committed();
  const std::int64_t kept = surviving_slots(width, shift, slots);
  for (std::int64_t i = 0; i < verdict.accepted; ++i) {
    inout_next.tokens.push_back(window[static_cast<std::size_t>(i)].token);
  }
  if (verdict.token >= 0) inout_next.tokens.push_back(verdict.token);
  if (inout_next.finished()) {
    window.clear();
    return;
  }
  for (std::int64_t i = shift; i < shift + kept; ++i) {
    Slot& slot = window[static_cast<std::size_t>(i)];
    const DrawKey key{.position = first_position + i, .iteration = inout_next.iteration};
    complete(i);
    const TokenLaw& target = laws[static_cast<std::size_t>(i)];
    slot.age += 1;
    naming_sequence(inout_next.sequence,
                    [&] { refine_slot(rules, gate, key, i - shift + 1, target, slot); });
  }
  window.erase(window.begin(), window.begin() + std::min(shift, width));
  window.resize(static_cast<std::size_t>(kept));
  // The row of the last slot predicts the position behind it.
  const bool has_law = shift + kept == width;
  if (has_law) complete(width);
  fill_window(rules, gate, slots, vocab, has_law ? &laws.back() : nullptr, inout_next);
}

}  // namespace sjd::cpu
