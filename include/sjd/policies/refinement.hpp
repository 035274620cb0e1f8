// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>

#include "sjd/core/random.hpp"
#include "sjd/core/slot.hpp"
#include "sjd/policies/acceptance.hpp"
#include "sjd/policy.hpp"

namespace sjd {

/// A refinement moves a surviving draft to the law that this pass gives for its position.
///
/// `refresh(gate, key, slot, target)` sets slot.token and slot.law; slot.law must be the marginal
/// law of the new token given everything to its left. A slot without a token draws its first one.
/// `tracks_true_law` says that this holds; a composition with a criterion that needs it is lossless
/// only then.
///
/// errors  a step throws contract, with sequence and position, if a slot comes back without a token
///         that it needs, or if a draft is rejected by the very law that is stored with it
template <class P, class Gate>
concept RefinementPolicy = PolicyOf<P, role::refinement> && RandomGate<Gate> &&
    requires(const P& policy, Gate& gate, DrawKey key, Slot& slot, const TokenLaw& target) {
  policy.refresh(gate, key, slot, target);
  { P::tracks_true_law } -> std::convertible_to<bool>;
};

/// A new independent draw in every iteration: SJD and SJD2 as published.
///
/// source  arXiv 2410.01699
struct FreshRedraw {
  using role = role::refinement;
  static constexpr bool tracks_true_law = true;

  template <RandomGate Gate>
  void refresh(Gate& gate, DrawKey key, Slot& slot, const TokenLaw& target) const {
    key.purpose = Purpose::refresh;
    slot.token = gate.categorical(key, target);
    slot.law = target;
  }

  friend bool operator==(const FreshRedraw&, const FreshRedraw&) = default;
};

/// Keeps the draft as often as any exact rule can: with probability min(1, p/q), else a draw from
/// the residual.
///
/// source  arXiv 2510.24211 (MC); its law after the refresh is exactly p
struct MaximalCoupling {
  using role = role::refinement;
  static constexpr bool tracks_true_law = true;

  template <RandomGate Gate>
  void refresh(Gate& gate, DrawKey key, Slot& slot, const TokenLaw& target) const {
    if (!slot.has_token()) {
      FreshRedraw{}.refresh(gate, key, slot, target);
      return;
    }
    key.purpose = Purpose::couple_keep;
    if (!detail::passes_ratio(gate, key, slot, target)) {
      key.purpose = Purpose::couple_residual;
      slot.token = detail::draw_residual(gate, key, slot, target);
    }
    slot.law = target;
  }

  friend bool operator==(const MaximalCoupling&, const MaximalCoupling&) = default;
};

/// Draws every draft of a position with the same noise, so a law that hardly moved keeps its token.
///
/// source  arXiv 2510.24211 (GS)
template <SharedNoise Noise>
struct SharedNoiseCoupling {
  using role = role::refinement;
  static constexpr bool tracks_true_law = true;

  template <RandomGate Gate>
  void refresh(Gate& gate, DrawKey key, Slot& slot, const TokenLaw& target) const {
    slot.token = draw_shared<Noise>(gate, key.position, target);
    slot.law = target;
  }

  friend bool operator==(const SharedNoiseCoupling&, const SharedNoiseCoupling&) = default;
};

using GumbelCoupling = SharedNoiseCoupling<SharedNoise::gumbel>;
using QuantileCoupling = SharedNoiseCoupling<SharedNoise::quantile>;

/// Jacobi decoding: the draft becomes the mode of its law.
struct ModeRefinement {
  using role = role::refinement;
  static constexpr bool tracks_true_law = true;

  template <RandomGate Gate>
  void refresh(Gate&, DrawKey, Slot& slot, const TokenLaw& target) const {
    slot.token = target.mode();
    slot.law.set_point(slot.token);
  }

  friend bool operator==(const ModeRefinement&, const ModeRefinement&) = default;
};

}  // namespace sjd
