// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <string>

#include "sjd/core/error.hpp"
#include "sjd/policy.hpp"
#include "sjd/types.hpp"

namespace sjd {

/// What a window plan may look at: how far a sequence is, and what its own passes came to.
///
/// Every count is about committed positions: a pass judges drafts up to the first rejection, and
/// whatever it judged is committed or replaced when the next window is planned.
struct WindowHistory {
  std::int64_t committed = 0;
  std::int64_t total = 0;              ///< tokens of the finished picture
  std::int64_t width = 0;              ///< rows a branch of the pass before; 0 behind the prefill
  const DecodeStatistics& statistics;  ///< of this sequence, the pass before included
};

namespace detail {

template <class P>
concept plans_by_tokens = requires(const P& policy) {
  { policy.rows(std::int64_t{}, std::int64_t{}) } -> std::convertible_to<std::int64_t>;
};
template <class P>
concept plans_by_history = requires(const P& policy, const WindowHistory& history) {
  { policy.rows(history) } -> std::convertible_to<std::int64_t>;
};

/// What a plan answers, by whichever form it has.
template <class P>
std::int64_t planned_rows(const P& policy, const WindowHistory& history) {
  if constexpr (plans_by_history<P>) {
    return policy.rows(history);
  } else {
    return policy.rows(history.committed, history.total);
  }
}

/// Rows of the next pass; 0 for a finished picture, whose plan is not asked.
///
/// errors  contract for rows outside 1 .. min(capacity, missing tokens)
template <class P>
std::int64_t window_rows(const P& policy, const WindowHistory& history) {
  const std::int64_t missing = history.total - history.committed;
  if (missing <= 0) return 0;
  const std::int64_t rows = planned_rows(policy, history);
  const std::int64_t most = std::min<std::int64_t>(policy.capacity(), missing);
  if (rows >= 1 && rows <= most) return rows;
  throw Error{ErrorCode::contract,
              "the window plan wants " + std::to_string(rows) + " rows, of 1 .. " +
                  std::to_string(most) + " that its capacity and the picture allow",
              -1, history.committed};
}

}  // namespace detail

/// A window plan says how many rows one pass carries for a sequence: the tip and rows - 1 draft
/// slots. It may look at counts only, never at a draft's token: that keeps every window exact.
///
/// - `rows(committed, total)`, or `rows(history)` to look at its own past as well: in
///   1 .. min(capacity(), total - committed); it is not asked for a finished picture
/// - `capacity()`: the most rows that it ever asks for
template <class P>
concept WindowPolicy = PolicyOf<P, role::window> &&
    (detail::plans_by_tokens<P> || detail::plans_by_history<P>)&&requires(const P& policy) {
  { policy.capacity() } -> std::convertible_to<std::int64_t>;
};

/// The same number of rows in every pass; 1 is plain autoregressive decoding.
struct FixedWindow {
  using role = role::window;

  std::int64_t tokens = 32;  ///< W, rows a pass: the tip and W - 1 drafts

  /// Rows of the next pass when `committed` of `total` tokens stand: one for each token that is
  /// still missing at most, since the row of position i predicts position i + 1.
  [[nodiscard]] std::int64_t rows(std::int64_t committed, std::int64_t total) const {
    return std::min(tokens, total - committed);
  }

  /// The most rows that one sequence and branch ever puts into a pass.
  [[nodiscard]] std::int64_t capacity() const { return tokens; }

  void validate() const {
    expects(tokens >= 1, ErrorCode::invalid_argument, "FixedWindow: tokens must be at least 1");
  }

  friend bool operator==(const FixedWindow&, const FixedWindow&) = default;
};

}  // namespace sjd
