// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <span>

#include "sjd/core/error.hpp"
#include "sjd/model.hpp"
#include "sjd/policy.hpp"

namespace sjd {

/// Structural tokens as a pure function of the position in the picture.
///
/// - `forced(position)`: the only token allowed there, or -1; forced slots enter the window clean,
///   with a point law
/// - `mask(position, logits)`: sets the logits [vocab] of forbidden tokens to -Inf, after guidance
/// - `validate(vocab)`, optional: throws if the grammar does not fit the image vocabulary
template <class P>
concept GrammarPolicy = PolicyOf<P, role::grammar> &&
    requires(const P& policy, std::span<float> l) {
  { policy.forced(Position{}) } -> std::convertible_to<TokenId>;
  policy.mask(Position{}, l);
};

/// Every token of the image vocabulary is allowed everywhere.
struct NoGrammar {
  using role = role::grammar;

  [[nodiscard]] TokenId forced(Position) const { return -1; }
  void mask(Position, std::span<float>) const {}

  friend bool operator==(const NoGrammar&, const NoGrammar&) = default;
};

/// `columns` codes and one end-of-row token, over and over (Lumina-mGPT, Emu3).
struct RowEndGrammar {
  using role = role::grammar;

  std::int64_t columns = 1;  ///< codes in a row of the picture
  TokenId row_end = 0;       ///< the token behind each row, forbidden elsewhere

  [[nodiscard]] TokenId forced(Position position) const {
    return position % (columns + 1) == columns ? row_end : -1;
  }

  void mask(Position position, std::span<float> logits) const {
    constexpr float none = -std::numeric_limits<float>::infinity();
    const TokenId only = forced(position);
    if (only < 0) {
      logits[static_cast<std::size_t>(row_end)] = none;
      return;
    }
    for (std::size_t v = 0; v < logits.size(); ++v) {
      if (v != static_cast<std::size_t>(only)) logits[v] = none;
    }
  }

  void validate(std::int64_t vocab) const {
    expects(columns >= 1 && columns <= (std::int64_t{1} << 20), ErrorCode::invalid_argument,
            "RowEndGrammar: columns must be in 1..2^20");
    expects(row_end >= 0 && row_end < vocab, ErrorCode::invalid_argument,
            "RowEndGrammar: row_end must be in 0 .. model.vocab_size() - 1");
  }

  friend bool operator==(const RowEndGrammar&, const RowEndGrammar&) = default;
};

}  // namespace sjd
