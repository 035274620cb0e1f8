// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "sjd/core/random.hpp"
#include "sjd/core/slot.hpp"
#include "support/law_pairs.hpp"

namespace sjd::test {

/// A gate that draws nothing: it remembers what it was asked and answers as told.
class AskedGate {
 public:
  bool answer = true;  ///< to bernoulli()
  bool asked = false;  ///< bernoulli() was called
  uint128 part = 0;    ///< of the last bernoulli()
  uint128 whole = 1;
  std::vector<uint128> weights;  ///< of the last weighted draw, or masses of a categorical one

  bool bernoulli(DrawKey, uint128 asked_part, uint128 asked_whole) {
    asked = true;
    part = asked_part;
    whole = asked_whole;
    return answer;
  }
  std::int64_t weighted(DrawKey, std::span<const uint128> given) {
    weights.assign(given.begin(), given.end());
    return std::find_if(given.begin(), given.end(), [](uint128 w) { return w > 0; }) -
           given.begin();
  }
  TokenId categorical(DrawKey, const TokenLaw& law) {
    weights.clear();
    for (std::int64_t i = 0; i < law.size(); ++i) weights.push_back(law.mass_at(i));
    return law.token(0);
  }
  void gaussian(DrawKey, std::span<float>) { refuse(); }
  TokenId quantile(Position, const TokenLaw&) { refuse(); }

 private:
  [[noreturn]] static void refuse() { throw std::logic_error{"a draw that no rule here makes"}; }
};

/// What a run over many pairs came to.
struct Algebra {
  std::int64_t elements = 0;  ///< tokens whose probabilities were added up
  std::int64_t wrong = 0;     ///< of them, those that did not give the target's probability
  /// Of them, those with a denominator that is not the product of both sums: compared in floating
  /// point. No shipped rule has any.
  std::int64_t rounded = 0;

  [[nodiscard]] bool exact() const { return elements > 0 && wrong == 0 && rounded == 0; }
};

/// Compares stay + (what leaves, spread by the weights) with the target, token by token.
///
/// shapes  stay, weights [target.size()]
inline void compare_with_target(const LawPair& pair, std::span<const uint128> stay, uint128 leaving,
                                std::span<const uint128> weights, Algebra& inout) {
  uint128 total = 0;
  for (const uint128 w : weights) total += w;
  const long double factor =
      total == 0 ? 0.0L : static_cast<long double>(leaving) / static_cast<long double>(total);
  const long double whole =
      static_cast<long double>(pair.target.sum()) * static_cast<long double>(pair.draft.sum());
  for (std::size_t i = 0; i < stay.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const uint128 expected = uint128{pair.target.mass_at(at)} * pair.draft.sum();
    inout.elements += 1;
    if (total == leaving) {
      inout.wrong += stay[i] + weights[i] == expected ? 0 : 1;
      continue;
    }
    inout.rounded += 1;
    const long double sum = static_cast<long double>(stay[i]) +
                            factor * static_cast<long double>(weights[i]) -
                            static_cast<long double>(expected);
    inout.wrong += std::fabs(sum) < 1e-12L * whole ? 0 : 1;
  }
}

/// Mass of a draft of mass `drawn` that stays, given how the gate was asked about it.
inline uint128 mass_that_stays(const AskedGate& gate, bool stays, uint128 drawn, Algebra& inout) {
  if (!gate.asked) return stays ? drawn : uint128{0};
  if (gate.whole == drawn) return std::min(gate.part, gate.whole);
  inout.rounded += 1;
  const long double share =
      static_cast<long double>(gate.part) / static_cast<long double>(gate.whole);
  return static_cast<uint128>(std::min(share, 1.0L) * static_cast<long double>(drawn));
}

/// Adds up drafts that stay and tokens that are redrawn, and compares every sum with the target's
/// mass. All masses are over target.sum() x draft.sum().
///
/// `decide(gate, token)` applies the rule to a draft and returns true if it stays where the gate
/// says yes; `redraw(gate, token)` applies it to a draft that must leave.
template <class Decide, class Redraw>
void add_up(const LawPair& pair, Decide&& decide, Redraw&& redraw, Algebra& inout) {
  const TokenLaw& target = pair.target;
  AskedGate gate;
  std::vector<uint128> stay(static_cast<std::size_t>(target.size()), 0);
  uint128 leaving = 0;
  TokenId leaver = -1;
  std::int64_t at = 0;  // walks the target's support beside the draft's: both ascend
  for (std::int64_t i = 0; i < pair.draft.size(); ++i) {
    const TokenId token = pair.draft.token(i);
    const uint128 drawn = uint128{pair.draft.mass_at(i)} * target.sum();
    gate.asked = false;
    const bool stays = decide(gate, token);
    const uint128 kept = mass_that_stays(gate, stays, drawn, inout);
    if (kept < drawn) leaver = token;
    leaving += drawn - kept;
    while (at < target.size() && target.token(at) < token) ++at;
    if (at < target.size() && target.token(at) == token) {
      stay[static_cast<std::size_t>(at)] = kept;
    } else {
      inout.elements += 1;
      inout.wrong += kept == 0 ? 0 : 1;
    }
  }
  gate.weights.assign(stay.size(), 0);
  if (leaver >= 0) redraw(gate, leaver);
  compare_with_target(pair, stay, leaving, gate.weights, inout);
}

/// Acceptance, and the token that replaces a rejected draft.
template <class Acceptance>
void check_acceptance(const LawPair& pair, Algebra& inout) {
  Slot slot{.law = pair.draft};
  add_up(
      pair,
      [&](AskedGate& gate, TokenId token) {
        slot.token = token;
        return Acceptance{}.accept(gate, {}, slot, pair.target);
      },
      [&](AskedGate& gate, TokenId token) {
        slot.token = token;
        static_cast<void>(Acceptance{}.recover(gate, {}, slot, pair.target));
      },
      inout);
}

/// The law of a refreshed draft, whose stored law must be the target ever after.
template <class Refinement>
void check_coupling(const LawPair& pair, Algebra& inout) {
  const auto refresh = [&](AskedGate& gate, TokenId token, bool answer) {
    Slot slot{.token = token, .law = pair.draft};
    gate.answer = answer;
    gate.weights.clear();
    Refinement{}.refresh(gate, {}, slot, pair.target);
    inout.wrong += slot.law == pair.target ? 0 : 1;
    return slot.token == token && gate.weights.empty();
  };
  add_up(
      pair, [&](AskedGate& gate, TokenId token) { return refresh(gate, token, true); },
      [&](AskedGate& gate, TokenId token) { refresh(gate, token, false); }, inout);
}

}  // namespace sjd::test
