// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/core/draw.hpp"
#include "sjd/cuda/detail/block_sum.hpp"
#include "sjd/cuda/detail/phases.hpp"
#include "sjd/cuda/laws.hpp"

namespace sjd::cuda::detail {

/// An exact weight, p mass x q sum.
struct Weight {
  uint128 value;

  SJD_DEVICE static Weight zero() { return {0}; }
  SJD_DEVICE Weight& operator+=(const Weight& other) {
    value += other.value;
    return *this;
  }
};

/// Both sides of the ratio test, see sjd::mass_ratio.
struct Ratio {
  uint128 target;
  uint128 draft;

  SJD_DEVICE Ratio(const LawView& p, const LawView& q, TokenId token)
      : target{uint128{p.mass(token)} * q.head.sum}, draft{uint128{q.mass(token)} * p.head.sum} {}
};

/// Whether a draft passes: with probability min(1, p/q), as RatioTest::accept.
[[nodiscard]] SJD_DEVICE inline bool passes(const Ratio& ratio, std::uint64_t key,
                                            const DrawKey& draw) {
  if (ratio.target == 0) return false;
  if (ratio.target >= ratio.draft) return true;
  return scale_to(draw_bits(key, draw), ratio.draft) < ratio.target;
}

/// A draw by all threads of a block: from p, or from max(p - q, 0) as PhiloxGate::weighted. Three
/// phases: add() into sums.part, sums.add_groups(), find().
struct LawDraw {
  LawView p;
  LawView q;
  bool residual = false;

  /// Calls visit(token, weight) for this thread's piece of p's support until it returns true.
  template <class Visit>
  SJD_DEVICE void walk(int thread, int threads, const Visit& visit) const {
    const std::int32_t size = p.size();
    const std::int32_t drafted_size = q.size();
    const std::int32_t piece = (size + threads - 1) / threads;
    const std::int32_t begin = thread * piece;
    const std::int32_t end = begin + piece < size ? begin + piece : size;
    const bool lists = q.head.kind == TokenLaw::Kind::list;
    std::int32_t j = residual && lists && begin < end ? q.place(p.token(begin)) : 0;
    for (std::int32_t i = begin; i < end; ++i) {
      const TokenId token = p.token(i);
      uint128 weight = p.mass_at(i);
      if (residual) {
        if (lists) {
          while (j < drafted_size && q.ids[j] < token) ++j;
        }
        const bool shared = lists && j < drafted_size && q.ids[j] == token;
        const std::uint32_t mass = lists ? (shared ? q.masses[j] : 0U) : q.mass(token);
        const uint128 drafted = uint128{mass} * p.head.sum;
        weight = weight * q.head.sum;
        weight = weight > drafted ? weight - drafted : uint128{0};
      }
      if (visit(token, weight)) return;
    }
  }

  SJD_DEVICE void add(int thread, int threads, BlockSum<Weight>& sums) const {
    Weight sum = Weight::zero();
    walk(thread, threads, [&sum](TokenId, uint128 weight) {
      sum.value += weight;
      return false;
    });
    sums.part[thread] = sum;
  }

  /// The drawn token at the one thread whose piece holds it; -1 at all others, and everywhere if
  /// nothing is left.
  [[nodiscard]] SJD_DEVICE TokenId find(int thread, int threads, const BlockSum<Weight>& sums,
                                        uint128 bits) const {
    const uint128 total = sums.total(threads).value;
    if (total == 0) return -1;
    const uint128 rank = scale_to(bits, total);
    const uint128 before = sums.before(thread).value;
    if (rank < before || rank - before >= sums.part[thread].value) return -1;
    uint128 left = rank - before;
    TokenId drawn = -1;
    walk(thread, threads, [&left, &drawn](TokenId token, uint128 weight) {
      if (left < weight) {
        drawn = token;
        return true;
      }
      left -= weight;
      return false;
    });
    return drawn;
  }
};

}  // namespace sjd::cuda::detail
