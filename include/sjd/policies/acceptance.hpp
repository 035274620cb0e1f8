// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <string>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/random.hpp"
#include "sjd/core/slot.hpp"
#include "sjd/policy.hpp"

namespace sjd {

/// An acceptance criterion judges the drafts of a window from the left, `slot` by the law `target`
/// of its own position, and draws the token that ends the iteration.
///
/// - `accept(gate, key, slot, target)`: may this draft be committed
/// - `recover(gate, key, slot, target)`: the token at the position of a rejected draft
/// - `bonus(gate, key, target)`: the token behind a fully accepted prefix; also the first token of
///   a picture
/// - `is_lossless`: committed tokens follow the AR law if every draft carries its true law
/// - `clean_prefix_only`: the gate; true = only rows that saw nothing noisy may judge or correct
/// - `needs_true_law`: false = the outcome does not depend on the stored draft laws
template <class P, class Gate>
concept AcceptancePolicy = PolicyOf<P, role::acceptance> && RandomGate<Gate> &&
    requires(const P& policy, Gate& gate, DrawKey key, const Slot& slot, const TokenLaw& target) {
  { policy.accept(gate, key, slot, target) } -> std::same_as<bool>;
  { policy.recover(gate, key, slot, target) } -> std::same_as<TokenId>;
  { policy.bonus(gate, key, target) } -> std::same_as<TokenId>;
  { P::is_lossless } -> std::convertible_to<bool>;
  { P::clean_prefix_only } -> std::convertible_to<bool>;
  { P::needs_true_law } -> std::convertible_to<bool>;
};

namespace detail {

/// Draws from max(p - q, 0), normalised, behind a rejected draft.
///
/// errors  contract if nothing is left: the draft was not drawn from the law that it carries
template <RandomGate Gate>
[[nodiscard]] TokenId draw_residual(Gate& gate, DrawKey key, const Slot& slot,
                                    const TokenLaw& target) {
  const auto refuse = [&] {
    throw Error{ErrorCode::contract,
                "the draft of image position " + std::to_string(key.position) +
                    " has no mass in the law that it carries",
                -1, key.position};
  };
  if constexpr (ResidualGate<Gate>) {
    using enum TokenLaw::Kind;
    const TokenLaw::Kind draft = slot.law.kind();
    if (target.kind() == list && (draft == list || draft == uniform)) {
      const std::int64_t place = gate.residual(key, target, slot.law);
      if (place < 0) refuse();
      return target.token(place);
    }
  }
  std::vector<uint128> weights;
  residual_weights(target, slot.law, weights);
  if (std::all_of(weights.begin(), weights.end(), [](uint128 w) { return w == 0; })) refuse();
  return target.token(gate.weighted(key, weights));
}

/// True with probability min(1, p/q) of the slot's token, as an exact ratio of integers.
template <RandomGate Gate>
[[nodiscard]] bool passes_ratio(Gate& gate, DrawKey key, const Slot& slot, const TokenLaw& target) {
  const MassRatio ratio = mass_ratio(target, slot.law, slot.token);
  if (ratio.target == 0) return false;
  if (ratio.target >= ratio.draft) return true;
  return gate.bernoulli(key, ratio.target, ratio.draft);
}

/// The ratio test and its residual; shared by the exact and the ungated criterion.
struct RatioTest {
  /// Accepts with probability min(1, p/q).
  template <RandomGate Gate>
  [[nodiscard]] static bool accept(Gate& gate, DrawKey key, const Slot& slot,
                                   const TokenLaw& target) {
    key.purpose = Purpose::accept;
    return passes_ratio(gate, key, slot, target);
  }

  /// Draws from max(p - q, 0), normalised.
  template <RandomGate Gate>
  [[nodiscard]] static TokenId recover(Gate& gate, DrawKey key, const Slot& slot,
                                       const TokenLaw& target) {
    key.purpose = Purpose::residual;
    return draw_residual(gate, key, slot, target);
  }

  template <RandomGate Gate>
  [[nodiscard]] static TokenId bonus(Gate& gate, DrawKey key, const TokenLaw& target) {
    key.purpose = Purpose::target;
    return gate.categorical(key, target);
  }

  friend bool operator==(const RatioTest&, const RatioTest&) = default;
};

}  // namespace detail

/// The probabilistic criterion of speculative sampling, judged by clean rows only. Lossless.
///
/// source  arXiv 2510.08994 (criterion), arXiv 2211.17192 (ratio test and residual)
struct SpeculativeAcceptance : detail::RatioTest {
  using role = role::acceptance;
  static constexpr bool is_lossless = true;
  static constexpr bool clean_prefix_only = true;
  static constexpr bool needs_true_law = true;

  friend bool operator==(const SpeculativeAcceptance&, const SpeculativeAcceptance&) = default;
};

/// The same test let loose on rows that saw noise, and their cache rows kept. Lossy: for comparison
/// only.
struct UngatedAcceptance : detail::RatioTest {
  using role = role::acceptance;
  static constexpr bool is_lossless = false;
  static constexpr bool clean_prefix_only = false;
  static constexpr bool needs_true_law = true;

  friend bool operator==(const UngatedAcceptance&, const UngatedAcceptance&) = default;
};

/// Kinds of noise that are fixed once per position and shared by every iteration.
enum class SharedNoise : std::uint8_t {
  gumbel,    ///< argmax of log mass + G(position, token)
  quantile,  ///< inverse CDF at u(position)
};

/// Draws from `law` with the noise of one position.
template <SharedNoise Noise, RandomGate Gate>
[[nodiscard]] TokenId draw_shared(Gate& gate, Position position, const TokenLaw& law) {
  if constexpr (Noise == SharedNoise::quantile) {
    return gate.quantile(position, law);
  } else {
    static_assert(GumbelGate<Gate>,
                  "sjd: this random gate has no Gumbel noise; use a quantile policy with it");
    return gate.gumbel(position, law);
  }
}

/// Accepts exactly what AR with the same shared noise would draw, so the tokens equal AR's one by
/// one, for every window, schedule and initialisation. Lossless.
///
/// source  predictive sampling, Wiggers and Hoogeboom (ICML 2020)
template <SharedNoise Noise>
struct SharedNoiseEquality {
  using role = role::acceptance;
  static constexpr bool is_lossless = true;
  static constexpr bool clean_prefix_only = true;
  static constexpr bool needs_true_law = false;

  template <RandomGate Gate>
  [[nodiscard]] bool accept(Gate& gate, DrawKey key, const Slot& slot,
                            const TokenLaw& target) const {
    return slot.token == draw_shared<Noise>(gate, key.position, target);
  }
  template <RandomGate Gate>
  [[nodiscard]] TokenId recover(Gate& gate, DrawKey key, const Slot&,
                                const TokenLaw& target) const {
    return draw_shared<Noise>(gate, key.position, target);
  }
  template <RandomGate Gate>
  [[nodiscard]] TokenId bonus(Gate& gate, DrawKey key, const TokenLaw& target) const {
    return draw_shared<Noise>(gate, key.position, target);
  }

  friend bool operator==(const SharedNoiseEquality&, const SharedNoiseEquality&) = default;
};

using GumbelEquality = SharedNoiseEquality<SharedNoise::gumbel>;
using QuantileEquality = SharedNoiseEquality<SharedNoise::quantile>;

/// Jacobi decoding: every token is the mode of its law. Lossless for greedy decoding, whatever the
/// temperature.
///
/// source  arXiv 2002.03629 (Jacobi iterations), the fixed point of greedy decoding
struct GreedyEquality {
  using role = role::acceptance;
  static constexpr bool is_lossless = true;
  static constexpr bool clean_prefix_only = true;
  static constexpr bool needs_true_law = false;

  template <RandomGate Gate>
  [[nodiscard]] bool accept(Gate&, DrawKey, const Slot& slot, const TokenLaw& target) const {
    return slot.token == target.mode();
  }
  template <RandomGate Gate>
  [[nodiscard]] TokenId recover(Gate&, DrawKey, const Slot&, const TokenLaw& target) const {
    return target.mode();
  }
  template <RandomGate Gate>
  [[nodiscard]] TokenId bonus(Gate&, DrawKey, const TokenLaw& target) const {
    return target.mode();
  }

  friend bool operator==(const GreedyEquality&, const GreedyEquality&) = default;
};

}  // namespace sjd
