// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "sjd/core/config.hpp"
#include "sjd/model.hpp"
#include "sjd/policies/grammar.hpp"

namespace sjd::cuda {

/// A grammar as kernels read it: position p follows line p % period.
///
/// shapes  forced [period], -1 = free; allowed [period, words], bit v % 32 of word v / 32 says that
///         token v is allowed, words = (vocab + 31) / 32; allowed may be null: all are
/// edge    period 0: every token is allowed everywhere
struct GrammarTable {
  std::int64_t period = 0;
  std::int64_t words = 0;
  const TokenId* forced = nullptr;
  const std::uint32_t* allowed = nullptr;

  [[nodiscard]] SJD_DEVICE TokenId forced_at(Position position) const {
    return period == 0 ? -1 : forced[position % period];
  }
  /// The line of bits of one position [words], or null.
  [[nodiscard]] SJD_DEVICE const std::uint32_t* allowed_at(Position position) const {
    return period == 0 || allowed == nullptr ? nullptr : allowed + position % period * words;
  }
};

/// A grammar policy written out, on the host.
struct GrammarLines {
  std::int64_t period = 0;
  std::int64_t words = 0;
  std::vector<TokenId> forced;         // [period]
  std::vector<std::uint32_t> allowed;  // [period, words]

  /// What kernels of the host executor read; for a device, copy both arrays there.
  [[nodiscard]] GrammarTable table() const {
    return {period, words, forced.data(), allowed.data()};
  }
};

/// Asks a grammar about every token of its first `period` positions, behind which it must repeat
/// itself: columns + 1 for RowEndGrammar, the tokens of a picture for any.
template <GrammarPolicy Grammar>
GrammarLines write_out(const Grammar& grammar, std::int64_t period, std::int64_t vocab) {
  GrammarLines lines;
  lines.period = period;
  lines.words = (vocab + 31) / 32;
  lines.allowed.resize(static_cast<std::size_t>(period * lines.words), 0U);
  std::vector<float> logits(static_cast<std::size_t>(vocab));
  for (Position p = 0; p < period; ++p) {
    lines.forced.push_back(grammar.forced(p));
    logits.assign(logits.size(), 0.0F);
    grammar.mask(p, logits);
    for (std::int64_t v = 0; v < vocab; ++v) {
      if (logits[static_cast<std::size_t>(v)] < 0.0F) continue;
      lines.allowed[static_cast<std::size_t>(p * lines.words + v / 32)] |= 1U << (v % 32);
    }
  }
  return lines;
}

}  // namespace sjd::cuda
