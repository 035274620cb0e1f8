// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "sjd/core/config.hpp"
#include "sjd/core/error.hpp"
#include "sjd/core/numeric.hpp"
#include "sjd/core/shared_list.hpp"
#include "sjd/model.hpp"

namespace sjd {

/// Probability mass of a logit that lies `below_max` <= 0 under the largest:
/// round(2^31 e^below_max).
///
/// Integer sums are associative: any split over lanes, threads or devices gives the same total and
/// so the same token. What lies under 2^-32 of the mode has no mass.
SJD_HOST_DEVICE inline std::uint32_t mass_of(float below_max) {
  return static_cast<std::uint32_t>(std::fmaf(exp_nonpositive(below_max), 2147483648.0F, 0.5F));
}

/// Exact law of one token. The object that a token is drawn from is the object that is stored
/// beside it; there is no way to store another.
///
/// Kinds: `none` (no token yet), `uniform` (over `vocab` tokens), `point` (one token), `list`
/// (tokens in ascending order, each with a mass > 0). Masses of uniform and point laws are 1.
///
/// memory  a list is 8 bytes a token; copies share it, so that a copy costs what a pointer costs
/// threads a law may be read, copied and dropped while other threads do so with its copies
class TokenLaw {
 public:
  enum class Kind : std::uint8_t { none, uniform, point, list };

  TokenLaw() = default;

  /// Equal probability on 0 .. vocab-1.
  static TokenLaw uniform(std::int64_t vocab) {
    TokenLaw law;
    law.kind_ = Kind::uniform;
    law.sum_ = static_cast<std::uint64_t>(vocab);
    return law;
  }

  /// All probability on one token.
  static TokenLaw point(TokenId token) {
    TokenLaw law;
    law.set_point(token);
    return law;
  }

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] bool empty() const noexcept { return kind_ == Kind::none; }

  /// Sum of all masses; probability of a token = mass(token) / sum().
  [[nodiscard]] std::uint64_t sum() const noexcept { return sum_; }

  /// Mass of one token, 0 off the support.
  [[nodiscard]] std::uint32_t mass(TokenId token) const {
    switch (kind_) {
      case Kind::none:
        return 0;
      case Kind::uniform:
        return token >= 0 && static_cast<std::uint64_t>(token) < sum_ ? 1U : 0U;
      case Kind::point:
        return token == point_ ? 1U : 0U;
      case Kind::list:
        break;
    }
    const std::span<const TokenId> tokens = list_.tokens();
    const auto at = std::lower_bound(tokens.begin(), tokens.end(), token);
    if (at == tokens.end() || *at != token) return 0;
    return list_.masses()[static_cast<std::size_t>(at - tokens.begin())];
  }

  /// Number of tokens with a mass.
  [[nodiscard]] std::int64_t size() const noexcept {
    switch (kind_) {
      case Kind::none:
        return 0;
      case Kind::uniform:
        return static_cast<std::int64_t>(sum_);
      case Kind::point:
        return 1;
      case Kind::list:
        break;
    }
    return static_cast<std::int64_t>(list_.tokens().size());
  }

  /// The i-th token of the support, ascending; i in 0 .. size()-1.
  [[nodiscard]] TokenId token(std::int64_t i) const {
    if (kind_ == Kind::uniform) return static_cast<TokenId>(i);
    return kind_ == Kind::point ? point_ : list_.tokens()[static_cast<std::size_t>(i)];
  }

  /// The mass of the i-th token of the support.
  [[nodiscard]] std::uint32_t mass_at(std::int64_t i) const {
    return kind_ == Kind::list ? list_.masses()[static_cast<std::size_t>(i)] : 1U;
  }

  /// Tokens and masses of a list law [size()]; empty for the other kinds.
  [[nodiscard]] std::span<const TokenId> tokens() const noexcept {
    return kind_ == Kind::list ? list_.tokens() : std::span<const TokenId>{};
  }
  [[nodiscard]] std::span<const std::uint32_t> masses() const noexcept {
    return kind_ == Kind::list ? list_.masses() : std::span<const std::uint32_t>{};
  }

  /// The most probable token; the lowest id wins a tie.
  [[nodiscard]] TokenId mode() const {
    std::int64_t best = 0;
    for (std::int64_t i = 1; i < size(); ++i) {
      if (mass_at(i) > mass_at(best)) best = i;
    }
    return token(best);
  }

  void set_point(TokenId token) {
    clear();
    kind_ = Kind::point;
    point_ = token;
    sum_ = 1;
  }

  /// Empties the law and keeps its memory, unless a copy has it too.
  void clear() noexcept {
    kind_ = Kind::none;
    point_ = -1;
    sum_ = 0;
    list_.drop_shared();
  }

  /// Becomes a list law.
  ///
  /// shapes  tokens, masses [support]; tokens ascending, every mass > 0; none of them this law's own
  void set_list(std::span<const TokenId> tokens, std::span<const std::uint32_t> masses) {
    set_list(tokens, masses, std::accumulate(masses.begin(), masses.end(), std::uint64_t{0}));
  }

  /// The same with what the masses add up to.
  ///
  /// errors  contract: not as many masses as tokens; the law stays as it was
  void set_list(std::span<const TokenId> tokens, std::span<const std::uint32_t> masses,
                std::uint64_t sum) {
    expects(tokens.size() == masses.size(), ErrorCode::contract,
            "sjd: a list law needs one mass for each token");
    clear();
    list_.assign(tokens, masses);
    kind_ = Kind::list;
    sum_ = sum;
  }

  friend bool operator==(const TokenLaw& a, const TokenLaw& b) {
    return a.kind_ == b.kind_ && a.point_ == b.point_ && a.sum_ == b.sum_ &&
           (a.kind_ != Kind::list || a.list_ == b.list_);
  }

 private:
  Kind kind_ = Kind::none;
  TokenId point_ = -1;
  std::uint64_t sum_ = 0;
  detail::SharedList list_;  // [support], tokens ascending, masses > 0
};

/// Both sides of the ratio p(token) / q(token) over a common denominator: accept with probability
/// min(1, target / draft).
///
/// source  arXiv 2211.17192, the ratio test; exact in integers
struct MassRatio {
  uint128 target = 0;  ///< p mass times q sum
  uint128 draft = 0;   ///< q mass times p sum
};

inline MassRatio mass_ratio(const TokenLaw& target, const TokenLaw& draft, TokenId token) {
  return {uint128{target.mass(token)} * draft.sum(), uint128{draft.mass(token)} * target.sum()};
}

/// Weights max(0, p - q) over the support of `target`, over the common denominator p sum x q sum.
///
/// shapes  weights [target.size()], overwritten
/// edge    all weights are 0 only if p == q, where no draft is ever rejected
inline void residual_weights(const TokenLaw& target, const TokenLaw& draft,
                             std::vector<uint128>& weights) {
  weights.resize(static_cast<std::size_t>(target.size()));
  std::int64_t j = 0;  // walks the draft's support beside the target's: both ascend
  for (std::int64_t i = 0; i < target.size(); ++i) {
    const TokenId token = target.token(i);
    while (j < draft.size() && draft.token(j) < token) ++j;
    const bool shared = j < draft.size() && draft.token(j) == token;
    const uint128 p = uint128{target.mass_at(i)} * draft.sum();
    const uint128 q = shared ? uint128{draft.mass_at(j)} * target.sum() : uint128{0};
    weights[static_cast<std::size_t>(i)] = p > q ? p - q : uint128{0};
  }
}

}  // namespace sjd
