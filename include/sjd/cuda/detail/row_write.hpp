// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "sjd/core/draw.hpp"
#include "sjd/cuda/detail/row_select.hpp"

/// The rows kernel's end: what is kept, in order, and the draw.
namespace sjd::cuda::detail {

/// Where a law ends: all keys over `key`, and the first `ties` tokens at it.
struct RowCut {
  std::uint32_t key = 0;
  std::uint32_t ties = 0;
  std::uint32_t tie_mass = 0;

  SJD_DEVICE RowCut(const RowCase& row, const RowsShared& s) {
    const Selected cut = row.nucleus ? s.mass[3] : s.count[3];
    key = row.greedy ? s.top : cut.key;
    tie_mass = key == 0 ? 0U : key_mass(row, s.top, key);
    std::uint64_t left = row.greedy ? 1U : cut.left;
    if (row.nucleus) left = tie_mass == 0 ? 0 : (left + tie_mass - 1) / tie_mass;
    ties = tie_mass == 0 ? 0U : static_cast<std::uint32_t>(left);
  }
  /// Of the ties of a tally, those that are kept.
  [[nodiscard]] SJD_DEVICE std::uint32_t kept_ties(const Tally& tally) const {
    return tally.ties < ties ? tally.ties : ties;
  }
  [[nodiscard]] SJD_DEVICE std::uint64_t mass(const Tally& tally) const {
    return tally.mass + std::uint64_t{kept_ties(tally)} * tie_mass;
  }
};

/// A phase: what each thread would keep.
SJD_DEVICE inline void count_kept(const RowCase& row, const RowKeys& keys,
                                  const Thread<RowsShared>& t) {
  RowsShared& s = *t.shared;
  const RowCut cut{row, s};
  Tally sum = Tally::zero();
  for (std::int32_t i = keys.begin; i < keys.end; ++i) {
    const std::uint32_t key = keys.at(i);
    if (key < cut.key) continue;
    const std::uint32_t mass = key_mass(row, s.top, key);
    if (mass == 0) continue;
    if (key == cut.key) {
      sum.ties += 1;
    } else {
      sum.above += 1;
      sum.mass += mass;
    }
  }
  s.tally.part[t.index] = sum;
}

/// Time of a token in a race whose winner has the least one; the lowest token wins a tie.
[[nodiscard]] SJD_DEVICE inline std::uint64_t race_time(DrawKind kind, std::uint32_t word,
                                                        TokenId token, std::uint32_t mass) {
  const std::uint32_t time =
      kind == DrawKind::mode
          ? ~mass
          : std::bit_cast<std::uint32_t>(exponential_variate(word) / static_cast<float>(mass));
  return std::uint64_t{time} << 32 | static_cast<std::uint32_t>(token);
}

/// words[i] without an index: registers have none.
[[nodiscard]] SJD_DEVICE inline std::uint32_t word_of(const std::array<std::uint32_t, 4>& words,
                                                      std::uint32_t i) {
  const std::uint32_t low = (i & 1U) != 0 ? words[1] : words[0];
  const std::uint32_t high = (i & 1U) != 0 ? words[3] : words[2];
  return (i & 2U) != 0 ? high : low;
}

/// Draws one token while the kept tokens pass by in ascending order.
class RowDraw {
 public:
  template <class Logit>
  SJD_DEVICE RowDraw(const RowsArguments<Logit>& a, const RowCase& row, std::uint64_t sum,
                     std::uint64_t before)
      : kind_{a.draw}, key_{a.settings[row.sequence].key}, before_{before} {
    const RowTask& task = a.tasks[row.index];
    draw_ = {task.position, task.iteration, a.purpose};
    if (a.draw != DrawKind::categorical) draw_ = {task.position, 0, Purpose::shared};
    if (!row.races) rank_ = static_cast<std::uint64_t>(scale_to(draw_bits(key_, draw_), sum));
  }

  /// Whether this token is the draw of the inverse CDF.
  SJD_DEVICE bool holds(std::uint32_t mass) {
    const bool here = rank_ >= before_ && rank_ - before_ < mass;
    before_ += mass;
    return here;
  }
  /// Enters this token into the race.
  SJD_DEVICE void enter(TokenId token, std::uint32_t mass) {
    const auto id = static_cast<std::uint32_t>(token);
    if (kind_ == DrawKind::gumbel && id / 4 != block_) {
      block_ = id / 4;
      words_ = draw_words(key_, draw_, block_);
    }
    const std::uint64_t time = race_time(kind_, word_of(words_, id % 4), token, mass);
    best_ = time < best_ ? time : best_;
  }
  [[nodiscard]] SJD_DEVICE std::uint64_t best() const { return best_; }

 private:
  DrawKind kind_;
  std::uint64_t key_;
  DrawKey draw_{};
  std::uint64_t rank_ = 0;
  std::uint64_t before_;
  std::uint64_t best_ = 0xFFFFFFFFFFFFFFFFU;
  std::uint32_t block_ = no_token;
  std::array<std::uint32_t, 4> words_{};
};

[[nodiscard]] SJD_DEVICE inline RowStatus row_status(const RowCase& row, const RowsShared& s,
                                                     std::uint32_t size, std::int64_t capacity) {
  constexpr std::uint32_t nothing = 0x007FFFFFU;  // the key of -Inf
  if (s.bad != no_token) return RowStatus::invalid_logits;
  if (s.top == nothing) return RowStatus::empty_support;
  return !row.greedy && size > capacity ? RowStatus::law_overflow : RowStatus::ok;
}

/// The head of a row; whoever holds them writes the drawn token and that of a point law.
SJD_DEVICE inline void write_head(const LawTable& laws, const RowCase& row, const RowsShared& s,
                                  std::uint64_t sum, std::uint32_t size) {
  LawHead& head = laws.heads[row.law];
  const RowStatus status = row_status(row, s, size, laws.capacity);
  if (status != RowStatus::ok) {
    head = {0, 0, TokenLaw::Kind::none, status, static_cast<TokenId>(s.bad), -1};
    return;
  }
  head.status = status;
  head.sum = row.greedy ? 1 : sum;
  head.size = row.greedy ? 1 : static_cast<std::int32_t>(size);
  head.kind = row.greedy ? TokenLaw::Kind::point : TokenLaw::Kind::list;
  if (!row.greedy) head.point = -1;
}

/// A phase, behind it a cluster barrier: the kept tokens of each thread, in their places.
template <class Logit>
SJD_DEVICE void write_law(const RowsArguments<Logit>& a, const RowCase& row, const RowKeys& keys,
                          const Thread<RowsShared>& t) {
  RowsShared& s = *t.shared;
  const RowCut cut{row, s};
  Tally before = s.tally.before(t.index);
  Tally total = Tally::zero();
  for (int rank = 0; rank < t.ranks; ++rank) {
    const Tally block = t.peer(rank).tally.total(t.count);
    if (rank < t.rank) before += block;
    total += block;
  }
  const std::uint32_t size = total.above + cut.kept_ties(total);
  const std::uint64_t sum = cut.mass(total);
  if (t.rank == 0 && t.index == 0) write_head(a.laws, row, s, sum, size);
  if (row_status(row, s, size, a.laws.capacity) != RowStatus::ok) return;
  const std::int64_t first = row.law * a.laws.capacity;
  std::uint32_t place = before.above + cut.kept_ties(before);
  std::uint32_t ties = cut.ties - cut.kept_ties(before);  // still free
  RowDraw draw{a, row, row.greedy ? 1 : sum, row.greedy ? 0 : cut.mass(before)};
  for (std::int32_t i = keys.begin; i < keys.end; ++i) {
    const std::uint32_t key = keys.at(i);
    if (key < cut.key || (key == cut.key && ties == 0)) continue;
    const std::uint32_t mass = row.greedy ? 1U : key_mass(row, s.top, key);
    if (mass == 0) continue;
    ties -= key == cut.key ? 1U : 0U;
    const auto token = static_cast<TokenId>(keys.first + i);
    if (row.greedy) {
      a.laws.heads[row.law].point = token;
    } else {
      a.laws.ids[first + place] = token;
      a.laws.masses[first + place++] = mass;
    }
    if (row.races) {
      draw.enter(token, mass);
    } else if (draw.holds(mass)) {
      a.laws.heads[row.law].drawn = token;
    }
  }
  if (row.races) atomic_min(s.best[t.index % lanes], draw.best());
}

/// A phase: the winner of the race of all blocks.
template <class Logit>
SJD_DEVICE void end_race(const RowsArguments<Logit>& a, const RowCase& row,
                         const Thread<RowsShared>& t) {
  LawHead& head = a.laws.heads[row.law];
  if (t.rank > 0 || t.index > 0 || head.status != RowStatus::ok) return;
  std::uint64_t best = 0xFFFFFFFFFFFFFFFFU;
  for (int rank = 0; rank < t.ranks; ++rank) {
    for (const std::uint64_t time : t.peer(rank).best) best = time < best ? time : best;
  }
  head.drawn = static_cast<TokenId>(best & 0xFFFFFFFFU);
}

/// The point law of a forced position.
SJD_DEVICE inline void write_forced(const LawTable& laws, const RowCase& row,
                                    const Thread<RowsShared>& t) {
  if (t.rank > 0 || t.index > 0) return;
  LawHead head;
  head.sum = 1;
  head.size = 1;
  head.kind = TokenLaw::Kind::point;
  head.point = head.drawn = row.forced;
  laws.heads[row.law] = head;
}

}  // namespace sjd::cuda::detail
