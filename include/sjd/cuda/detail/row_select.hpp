// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include "sjd/cuda/detail/row_load.hpp"

/// The rows kernel's middle: top-k and top-p by radix select on ordered keys, 11 + 11 + 10 bits.
namespace sjd::cuda::detail {

/// The piece of a slice that one thread owns, in ascending order of tokens.
struct RowKeys {
  const std::uint32_t* data = nullptr;
  bool pads = false;
  // Below most_vocab: half the registers of 64-bit indices.
  std::int32_t first = 0;  // token of local index 0
  std::int32_t begin = 0;  // local indices begin .. end-1
  std::int32_t end = 0;

  SJD_DEVICE RowKeys(const std::uint32_t* keys, bool has_padding, const Thread<RowsShared>& t,
                     std::int64_t vocab, std::int64_t slice)
      : data{keys}, pads{has_padding}, first{static_cast<std::int32_t>(slice) * t.rank} {
    const auto size = static_cast<std::int32_t>(slice);
    const std::int32_t rest = static_cast<std::int32_t>(vocab) - first;
    const std::int32_t live = rest < size ? rest : size;
    const std::int32_t piece = (size + t.count - 1) / t.count;
    begin = t.index * piece;
    end = begin + piece < live ? begin + piece : live;
  }
  [[nodiscard]] SJD_DEVICE std::uint32_t at(std::int32_t i) const {
    return data[pads ? padded(i) : i];
  }
};

/// Mass of the token with that key, as LawBuilder computes it.
[[nodiscard]] SJD_DEVICE inline std::uint32_t key_mass(const RowCase& row, std::uint32_t top,
                                                       std::uint32_t key) {
  return mass_of((key_value(key) - key_value(top)) * row.inverse);
}

/// Bits of a key that lie under the digit of a round, and the digit's width.
[[nodiscard]] SJD_DEVICE constexpr int shift_of(int round) {
  return round == 0 ? 21 : round == 1 ? 10 : 0;
}
[[nodiscard]] SJD_DEVICE constexpr int bits_of(int round) {
  return round == 2 ? 10 : 11;
}

template <bool Weighted>
SJD_DEVICE Selected* rounds(RowsShared& s) {
  if constexpr (Weighted) {
    return s.mass;
  } else {
    return s.count;
  }
}

/// Which of two bin arrays a round fills; the other one is clean or is being cleaned.
template <bool Weighted>
SJD_DEVICE int bins_of(int round) {
  return (round + (Weighted ? 3 : 0)) % 2;
}

/// A phase, behind it a cluster barrier: adds every candidate of this block to the bin of its
/// digit. Masses leave out what top-k cut off; its ties are added as a whole.
template <bool Weighted>
SJD_DEVICE void fill_bins(const RowCase& row, int round, const RowKeys& keys,
                          const Thread<RowsShared>& t) {
  RowsShared& s = *t.shared;
  Bin* bins = s.bins[bins_of<Weighted>(round)];
  const int shift = shift_of(round);
  const int seen = shift + bits_of(round);
  const std::uint64_t prefix = std::uint64_t{rounds<Weighted>(s)[round].key} >> seen;
  const Selected floor = s.count[3];
  const auto add = [&](std::uint32_t key, std::uint64_t times) {
    if (std::uint64_t{key} >> seen != prefix || times == 0) return;
    const std::uint64_t weight = Weighted ? times * key_mass(row, s.top, key) : times;
    if (weight > 0) bins[key >> shift & ((1U << bits_of(round)) - 1)].add(weight);
  };
  for (std::int32_t i = keys.begin; i < keys.end; ++i) {
    const std::uint32_t key = keys.at(i);
    if (!Weighted || key > floor.key) add(key, 1);
  }
  if (Weighted && t.rank == 0 && t.index == 0) add(floor.key, floor.left);
}

/// A phase: every thread sums its bins over the blocks, the highest digits at thread 0. Cleans the
/// bins of the next round, which no other block reads any more.
template <bool Weighted>
SJD_DEVICE void gather_bins(int round, const Thread<RowsShared>& t) {
  const int now = bins_of<Weighted>(round);
  const int piece = bin_count / t.count;
  Tally sum = Tally::zero();
  for (int i = 0; i < piece; ++i) {
    const int bin = bin_count - 1 - (t.index * piece + i);
    for (int rank = 0; rank < t.ranks; ++rank) sum.mass += t.peer(rank).bins[now][bin].value();
    t.shared->bins[1 - now][bin] = {0, 0};
  }
  t.shared->tally.part[t.index] = sum;
}

/// The least whole mass that reaches share x total; doubles hold both exactly, as LawBuilder's do.
[[nodiscard]] SJD_DEVICE inline std::uint64_t mass_to_reach(float share, std::uint64_t total) {
  return static_cast<std::uint64_t>(
      std::ceil(static_cast<double>(share) * static_cast<double>(total)));
}

/// A phase: the thread that owns the digit where the sum from above reaches what is left writes the
/// next round's state. If there is none (a bad row), thread 0 hands the state on.
template <bool Weighted>
SJD_DEVICE void find_bin(const RowCase& row, int round, const Thread<RowsShared>& t) {
  RowsShared& s = *t.shared;
  Selected* states = rounds<Weighted>(s);
  const Selected state = states[round];
  const std::uint64_t total = s.tally.total(t.count).mass;
  const std::uint64_t left = Weighted && round == 0 ? mass_to_reach(row.share, total) : state.left;
  if (left == 0 || left > total) {
    if (t.index == 0) states[round + 1] = state;
    return;
  }
  std::uint64_t sum = s.tally.before(t.index).mass;
  if (sum >= left || sum + s.tally.part[t.index].mass < left) return;
  const int piece = bin_count / t.count;
  for (int i = 0; i < piece; ++i) {
    const int bin = bin_count - 1 - (t.index * piece + i);
    std::uint64_t weight = 0;
    for (int rank = 0; rank < t.ranks; ++rank) {
      weight += t.peer(rank).bins[bins_of<Weighted>(round)][bin].value();
    }
    if (sum + weight >= left) {
      states[round + 1] = {state.key | static_cast<std::uint32_t>(bin) << shift_of(round),
                           left - sum};
      return;
    }
    sum += weight;
  }
}

}  // namespace sjd::cuda::detail
