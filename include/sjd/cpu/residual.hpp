// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sjd/core/mass.hpp"
#include "sjd/cpu/kernels.hpp"

namespace sjd::cpu {

namespace detail {

inline MassList list_of(const TokenLaw& law) {
  return {law.tokens().data(), law.masses().data(), law.size(), law.sum()};
}

/// The place of `rank` in the cumulative residual of the target tokens from `first` on, one by one.
inline std::int64_t place_of(const MassList& target, const MassList& draft, std::int64_t first,
                             uint128 rank) {
  std::int64_t at =
      draft.tokens == nullptr
          ? 0
          : std::lower_bound(draft.tokens, draft.tokens + draft.size, target.tokens[first]) -
                draft.tokens;
  const auto draft_mass = [&](TokenId token) {
    if (draft.tokens == nullptr) return token < draft.size ? 1U : 0U;
    while (at < draft.size && draft.tokens[at] < token) ++at;
    return at < draft.size && draft.tokens[at] == token ? draft.masses[at] : 0U;
  };
  for (std::int64_t i = first;; ++i) {
    const uint128 p = uint128{target.masses[i]} * draft.sum;
    const uint128 q = uint128{draft_mass(target.tokens[i])} * target.sum;
    const uint128 weight = p > q ? p - q : uint128{0};
    if (rank < weight) return i;
    rank -= weight;
  }
}

}  // namespace detail

/// Draws from max(0, p - q) of a list law and a list or uniform law, the law of residual_weights,
/// and returns the place in the target's support; -1 if p == q.
///
/// `uniform(total)`: an integer below `total`; asked once. Only two 64-bit sums a block are made of
/// all weights: sum (p q_sum - q p_sum) = (sum p) q_sum - (sum q) p_sum over the tokens that
/// exceed.
///
/// source  arXiv 2211.17192, the residual; exact in integers
template <class Uniform>
[[nodiscard]] std::int64_t draw_surplus(const TokenLaw& target, const TokenLaw& draft,
                                        Uniform&& uniform, const KernelTable& kernel = kernels()) {
  const MassList p = detail::list_of(target), q = detail::list_of(draft);
  std::vector<Surplus> blocks(
      static_cast<std::size_t>((p.size + surplus_block - 1) / surplus_block));
  kernel.surpluses(p, q, blocks.data());
  const auto weight = [&](const Surplus& block) {
    return uint128{block.target} * q.sum - uint128{block.draft} * p.sum;
  };
  uint128 total = 0;
  for (const Surplus& block : blocks) total += weight(block);
  if (total == 0) return -1;
  uint128 rank = uniform(total);
  std::size_t b = 0;
  for (; rank >= weight(blocks[b]); ++b) rank -= weight(blocks[b]);
  return detail::place_of(p, q, static_cast<std::int64_t>(b) * surplus_block, rank);
}

}  // namespace sjd::cpu
