// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>

#include "sjd/core/random.hpp"
#include "sjd/core/slot.hpp"
#include "sjd/policy.hpp"

namespace sjd {

/// What a slot without noise holds when it enters at the right end: a token and its true law.
///
/// `enter(gate, key, left, vocab, slot)`: `left` is the token to the left, -1 if that slot has none
/// yet.
template <class P, class Gate>
concept InitializationPolicy = PolicyOf<P, role::initialization> && RandomGate<Gate> &&
    requires(const P& policy, Gate& gate, DrawKey key, Slot& slot) {
  policy.enter(gate, key, TokenId{}, std::int64_t{}, slot);
};

/// A uniform token with the uniform law: exact, and accepted with 1 - TV(p, uniform) instead of
/// p(token).
struct UniformTokens {
  using role = role::initialization;

  template <RandomGate Gate>
  void enter(Gate& gate, DrawKey key, TokenId, std::int64_t vocab, Slot& slot) const {
    key.purpose = Purpose::entry;
    slot.law = TokenLaw::uniform(vocab);
    slot.token = gate.categorical(key, slot.law);
  }

  friend bool operator==(const UniformTokens&, const UniformTokens&) = default;
};

/// The token of the left neighbour with a point law; a uniform token where there is none.
struct RepeatLeft {
  using role = role::initialization;

  template <RandomGate Gate>
  void enter(Gate& gate, DrawKey key, TokenId left, std::int64_t vocab, Slot& slot) const {
    if (left < 0) {
      UniformTokens{}.enter(gate, key, left, vocab, slot);
      return;
    }
    slot.token = left;
    slot.law.set_point(left);
  }

  friend bool operator==(const RepeatLeft&, const RepeatLeft&) = default;
};

}  // namespace sjd
