// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

#include "sjd/core/mass.hpp"
#include "sjd/cuda/detail/block_sum.hpp"
#include "sjd/cuda/detail/phases.hpp"
#include "sjd/cuda/logit_types.hpp"
#include "sjd/cuda/rows_arguments.hpp"

/// The rows kernel's first half: from logits to ordered keys.
namespace sjd::cuda::detail {

inline constexpr std::int64_t most_vocab = std::int64_t{1} << 18;
inline constexpr std::uint32_t no_token = 0xFFFFFFFFU;
inline constexpr int bin_count = 2048;
inline constexpr int lanes = 32;  ///< places that an atomic maximum is spread over

/// Place of logit i of a slice: one word of padding in 32, so that threads that each walk a piece
/// of their own do not meet in one memory bank.
[[nodiscard]] SJD_HOST_DEVICE constexpr std::int32_t padded(std::int32_t i) {
  return i + i / 32;
}

/// What a thread, a block or a row keeps, in three numbers.
struct Tally {
  std::uint32_t above;  ///< tokens over the cut
  std::uint32_t ties;   ///< tokens at the cut
  std::uint64_t mass;   ///< of the tokens over the cut

  SJD_DEVICE static Tally zero() { return {0, 0, 0}; }
  SJD_DEVICE Tally& operator+=(const Tally& other) {
    above += other.above;
    ties += other.ties;
    mass += other.mass;
    return *this;
  }
};

/// A radix select between two rounds: the key's leading bits so far, and what is left to take.
struct Selected {
  std::uint32_t key;
  std::uint64_t left;
};

/// A sum of 64 bits in two halves: shared memory adds 32 bits at once, but 64 only in a loop.
struct Bin {
  std::uint32_t low;
  std::uint32_t high;

  [[nodiscard]] SJD_DEVICE std::uint64_t value() const { return std::uint64_t{high} << 32 | low; }
  /// Whoever makes the lower half wrap carries; each wrap is seen by exactly one.
  SJD_DEVICE void add(std::uint64_t x) {
    const auto part = static_cast<std::uint32_t>(x);
    const std::uint32_t before = atomic_fetch_add(low, part);
    const std::uint32_t carry = before + part < part ? 1U : 0U;
    const std::uint32_t rest = static_cast<std::uint32_t>(x >> 32) + carry;
    if (rest != 0) atomic_add(high, rest);
  }
};

/// Shared memory of one block.
struct RowsShared {
  Bin bins[2][bin_count];  // of this round and of the next one
  BlockSum<Tally> tally;
  Tally kept;                 // of this block: what others read of its tally
  Selected count[4];          // before round 0, 1, 2 and behind the last
  Selected mass[4];           // likewise
  std::uint64_t best[lanes];  // time and token of a race
  std::uint32_t tops[lanes];  // of this block
  std::uint32_t first_bad;    // of this block
  std::uint32_t top;          // of the row
  std::uint32_t bad;          // of the row
};

/// What is known of a row before its logits are read; it stays in registers, so it is small.
struct RowCase {
  std::int64_t index = 0;  // of the task
  TokenId forced = -1;
  float inverse = 1.0F;  // of the temperature
  float share = 1.0F;    // top-p
  std::uint32_t top_k = 0;
  bool greedy = false;   // temperature 0
  bool cut = false;      // top-k leaves something out
  bool nucleus = false;  // top-p may
  bool races = false;    // the draw compares all tokens
};

template <class Logit>
SJD_DEVICE RowCase row_case(const RowsArguments<Logit>& a, const RowTask& task,
                            std::int64_t index) {
  const SamplingOptions& sampling = a.settings[task.sequence].sampling;
  RowCase row;
  row.index = index;
  row.forced = a.grammar.forced_at(task.position);
  row.greedy = sampling.temperature == 0.0F;
  row.cut = !row.greedy && sampling.top_k > 0 && sampling.top_k < a.logits.columns;
  row.nucleus = !row.greedy && sampling.top_p < 1.0F;
  row.races = !row.greedy && (a.draw == DrawKind::gumbel || a.draw == DrawKind::mode);
  if (row.cut) row.top_k = static_cast<std::uint32_t>(sampling.top_k);
  row.share = sampling.top_p;
  if (!row.greedy) {
    constexpr float most = std::numeric_limits<float>::max();
    const float inverse = 1.0F / sampling.temperature;
    row.inverse = inverse < most ? inverse : most;
  }
  return row;
}

/// A phase: everything that later phases add to.
SJD_DEVICE inline void clear_row(const RowCase& row, const Thread<RowsShared>& t) {
  RowsShared& s = *t.shared;
  for (int i = t.index; i < bin_count; i += t.count) s.bins[0][i] = s.bins[1][i] = {0, 0};
  if (t.index < lanes) {
    s.tops[t.index] = 0;
    s.best[t.index] = 0xFFFFFFFFFFFFFFFFU;
  }
  if (t.index > 0) return;
  s.first_bad = s.bad = no_token;
  s.top = 0;
  s.count[0] = {0, row.top_k};
  s.count[3] = {0, 0};  // without top-k every key is over the cut
  s.mass[0] = {0, 0};
}

/// Four neighbouring logits as floats, those behind `count` as -Inf.
template <class Logit>
SJD_DEVICE void load_four(const Logit* from, std::int64_t count, bool aligned, float (&to)[4]) {
  if (aligned && count >= 4) {
    struct alignas(4 * sizeof(Logit)) Four {
      Logit of[4];
    };
#if defined(__CUDA_ARCH__)
    using Wide = std::conditional_t<sizeof(Logit) == 4, uint4, uint2>;
    const Four four = std::bit_cast<Four>(__ldg(reinterpret_cast<const Wide*>(from)));
#else
    Four four;
    std::memcpy(static_cast<void*>(&four), from, sizeof four);
#endif
    for (int i = 0; i < 4; ++i) to[i] = to_float(four.of[i]);
    return;
  }
  for (int i = 0; i < 4; ++i) {
    to[i] = i < count ? to_float(from[i]) : -std::numeric_limits<float>::infinity();
  }
}

/// Four neighbouring logits after guidance; see cpu::guide.
template <class Logit>
SJD_DEVICE void guide_four(const RowsArguments<Logit>& a, const RowTask& task, std::int64_t first,
                           float (&guided)[4]) {
  const SequenceSettings& settings = a.settings[task.sequence];
  const std::int64_t count = a.logits.columns - first;
  const Logit* row = a.logits.data + task.logits * a.logits.stride + first;
  const std::int64_t step = task.branch_step * a.logits.stride;
  float last[4];
  load_four(row + (settings.branches - 1) * step, count, a.aligned, last);
  for (int i = 0; i < 4; ++i) guided[i] = last[i];
  for (std::int32_t b = 0; b + 1 < settings.branches; ++b) {
    float logit[4];
    load_four(row + b * step, count, a.aligned, logit);
    for (int i = 0; i < 4; ++i) {
      guided[i] = guided_logit(logit[i], last[i], settings.scales[b], guided[i]);
    }
  }
}

/// Leaves guided logits as they are.
struct Unchanged {
  SJD_DEVICE void operator()(std::int64_t, float (&)[4]) const {}
};

/// A phase: guided and masked keys of the `size` logits from `first` on go to store(i, key); their
/// top and their first bad token to the block. `change(token, logits)` may change the guided logits
/// of four neighbours; those behind the vocabulary are of no use.
template <class Logit, class Store, class Change = Unchanged>
SJD_DEVICE void load_slice(const RowsArguments<Logit>& a, const RowCase& row, std::int64_t first,
                           std::int64_t size, const Thread<RowsShared>& t, const Store& store,
                           const Change& change = {}) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const RowTask& task = a.tasks[row.index];
  const std::uint32_t* allowed = a.grammar.allowed_at(task.position);
  const std::int64_t rest = a.logits.columns - first;
  const auto live = static_cast<std::int32_t>(rest < size ? rest : size);
  std::uint32_t top = 0;
  for (std::int32_t i = 4 * t.index; i < live; i += 4 * t.count) {
    float guided[4];
    guide_four(a, task, first + i, guided);
    change(first + i, guided);
    const std::uint32_t bits =
        allowed == nullptr ? 0xFU : allowed[(first + i) / 32] >> ((first + i) % 32);
    for (int j = 0; j < 4 && i + j < live; ++j) {
      const float z = (bits >> j & 1U) != 0 ? guided[j] : -infinity;
      if (!(z < infinity)) {
        atomic_min(t.shared->first_bad, static_cast<std::uint32_t>(first + i + j));
      }
      const std::uint32_t key = ordered_key(z);
      top = top < key ? key : top;
      store(i + j, key);
    }
  }
  atomic_max(t.shared->tops[t.index % lanes], top);
}

/// A phase: top and first bad token of all blocks.
SJD_DEVICE inline void merge_blocks(const Thread<RowsShared>& t) {
  for (int rank = 0; rank < t.ranks; ++rank) {
    const RowsShared& other = t.peer(rank);
    if (t.index < lanes) atomic_max(t.shared->top, other.tops[t.index]);
    if (t.index == 0) atomic_min(t.shared->bad, other.first_bad);
  }
}

/// The same behind the first of two launches.
template <class Logit>
SJD_DEVICE void merge_parts(const RowsArguments<Logit>& a, const RowCase& row,
                            const Thread<RowsShared>& t) {
  for (std::int64_t i = t.index; i < a.parts; i += t.count) {
    const RowPart& part = a.workspace.parts[row.index * a.parts + i];
    atomic_max(t.shared->top, part.top);
    atomic_min(t.shared->bad, part.bad);
  }
}

}  // namespace sjd::cuda::detail
