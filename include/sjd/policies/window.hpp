// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>

#include "sjd/core/error.hpp"
#include "sjd/policy.hpp"

namespace sjd {

/// A window plan says how many rows one pass carries for a sequence: the tip and rows - 1 draft
/// slots. It may look at counts only, never at a draft's token: that keeps every window exact.
template <class P>
concept WindowPolicy = PolicyOf<P, role::window> && requires(const P& policy) {
  { policy.rows(std::int64_t{}, std::int64_t{}) } -> std::convertible_to<std::int64_t>;
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
