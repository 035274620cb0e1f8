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

/// Where in [0, sum) the inverse CDF of a row is asked.
template <class Logit>
[[nodiscard]] SJD_DEVICE std::uint64_t rank_of(const RowsArguments<Logit>& a, const RowTask& task,
                                               std::uint64_t sum) {
  DrawKey draw{task.position, task.iteration, a.purpose};
  if (a.draw != DrawKind::categorical) draw = {task.position, 0, Purpose::shared};
  return static_cast<std::uint64_t>(scale_to(draw_bits(a.settings[task.sequence].key, draw), sum));
}

/// A race of the kept tokens that pass by in ascending order.
class RowRace {
 public:
  SJD_DEVICE RowRace(DrawKind kind, std::uint64_t key, Position position)
      : key_{key}, position_{static_cast<std::uint32_t>(position)}, kind_{kind} {}

  SJD_DEVICE void enter(TokenId token, std::uint32_t mass) {
    const auto id = static_cast<std::uint32_t>(token);
    if (kind_ == DrawKind::gumbel && id / 4 != block_) {
      block_ = id / 4;
      words_ = draw_words(key_, {position_, 0, Purpose::shared}, block_);
    }
    const std::uint64_t time = race_time(kind_, word_of(words_, id % 4), token, mass);
    best_ = time < best_ ? time : best_;
  }
  [[nodiscard]] SJD_DEVICE std::uint64_t best() const { return best_; }

 private:
  std::uint64_t key_;
  std::uint64_t best_ = 0xFFFFFFFFFFFFFFFFU;
  std::array<std::uint32_t, 4> words_{};
  std::uint32_t block_ = no_token;
  std::uint32_t position_;
  DrawKind kind_;
};

[[nodiscard]] SJD_DEVICE inline RowStatus row_status(const RowCase& row, const RowsShared& s,
                                                     std::uint32_t size, std::int64_t capacity) {
  constexpr std::uint32_t nothing = 0x007FFFFFU;  // the key of -Inf
  if (s.bad != no_token) return RowStatus::invalid_logits;
  if (s.top == nothing) return RowStatus::empty_support;
  return !row.greedy && size > capacity ? RowStatus::law_overflow : RowStatus::ok;
}

/// The head of a row; whoever holds them writes the drawn token and that of a point law.
SJD_DEVICE inline void write_head(LawHead& head, const RowCase& row, const RowsShared& s,
                                  RowStatus status, std::uint64_t sum, std::uint32_t size) {
  if (status != RowStatus::ok) {
    head = {0, 0, TokenLaw::Kind::none, status, static_cast<TokenId>(s.bad), -1};
    return;
  }
  head.status = status;
  head.sum = sum;
  head.size = row.greedy ? 1 : static_cast<std::int32_t>(size);
  head.kind = row.greedy ? TokenLaw::Kind::point : TokenLaw::Kind::list;
  if (!row.greedy) head.point = -1;
}

/// Writes the kept tokens of one thread behind those of all threads before it, and shows each to
/// visit(token, mass).
template <class Visit>
SJD_DEVICE void write_kept(const LawTable& laws, std::int64_t law, const RowCase& row,
                           const RowCut& cut, const Tally& before, const RowKeys& keys,
                           const RowsShared& s, const Visit& visit) {
  TokenId* ids = laws.ids + law * laws.capacity;
  std::uint32_t* masses = laws.masses + law * laws.capacity;
  std::uint32_t place = before.above + cut.kept_ties(before);
  std::uint32_t ties = cut.ties - cut.kept_ties(before);  // still free
  for (std::int32_t i = keys.begin; i < keys.end; ++i) {
    const std::uint32_t key = keys.at(i);
    if (key < cut.key || (key == cut.key && ties == 0)) continue;
    const std::uint32_t mass = row.greedy ? 1U : key_mass(row, s.top, key);
    if (mass == 0) continue;
    ties -= key == cut.key ? 1U : 0U;
    const TokenId token = keys.first + i;
    if (row.greedy) {
      laws.heads[law].point = token;
    } else {
      ids[place] = token;
      masses[place++] = mass;
    }
    visit(token, mass);
  }
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
    const Tally block = t.peer(rank).kept;
    if (rank < t.rank) before += block;
    total += block;
  }
  const std::uint32_t size = total.above + cut.kept_ties(total);
  const std::uint64_t sum = row.greedy ? 1 : cut.mass(total);
  const RowTask& task = a.tasks[row.index];
  LawHead& head = a.laws.heads[task.law];
  const RowStatus status = row_status(row, s, size, a.laws.capacity);
  if (t.rank == 0 && t.index == 0) write_head(head, row, s, status, sum, size);
  if (status != RowStatus::ok) return;
  if (row.races) {
    RowRace race{a.draw, a.settings[task.sequence].key, task.position};
    write_kept(a.laws, task.law, row, cut, before, keys, s,
               [&race](TokenId token, std::uint32_t mass) { race.enter(token, mass); });
    atomic_min(s.best[t.index % lanes], race.best());
    return;
  }
  const std::uint64_t rank = rank_of(a, task, sum);
  std::uint64_t passed = row.greedy ? 0 : cut.mass(before);
  write_kept(a.laws, task.law, row, cut, before, keys, s, [&](TokenId token, std::uint32_t mass) {
    if (rank >= passed && rank - passed < mass) head.drawn = token;
    passed += mass;
  });
}

/// A phase: the winner of the race of all blocks.
template <class Logit>
SJD_DEVICE void end_race(const RowsArguments<Logit>& a, const RowCase& row,
                         const Thread<RowsShared>& t) {
  LawHead& head = a.laws.heads[a.tasks[row.index].law];
  if (t.rank > 0 || t.index > 0 || head.status != RowStatus::ok) return;
  std::uint64_t best = 0xFFFFFFFFFFFFFFFFU;
  for (int rank = 0; rank < t.ranks; ++rank) {
    for (const std::uint64_t time : t.peer(rank).best) best = time < best ? time : best;
  }
  head.drawn = static_cast<TokenId>(best & 0xFFFFFFFFU);
}

/// The point law of a forced position.
SJD_DEVICE inline void write_forced(LawHead& to, const RowCase& row, const Thread<RowsShared>& t) {
  if (t.rank > 0 || t.index > 0) return;
  LawHead head;
  head.sum = 1;
  head.size = 1;
  head.kind = TokenLaw::Kind::point;
  head.point = head.drawn = row.forced;
  to = head;
}

}  // namespace sjd::cuda::detail
