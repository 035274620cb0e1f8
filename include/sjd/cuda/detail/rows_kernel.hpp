// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/cuda/detail/row_load.hpp"
#include "sjd/cuda/detail/row_select.hpp"
#include "sjd/cuda/detail/row_write.hpp"

namespace sjd::cuda::detail {

/// Which launch of the rows kernel: one launch of clusters, or two of single blocks.
enum class RowsPart : std::uint8_t { whole, first, second };

/// See cuda::rows. A cluster turns one row of logits into one law.
template <class Logit, RowsPart Part>
struct RowsKernel {
  using Shared = RowsShared;
  using Arguments = RowsArguments<Logit>;
  using Here = Thread<Shared>;
  static constexpr bool in_workspace = Part == RowsPart::second;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t unit = block.cluster();
    const std::int64_t index = Part == RowsPart::first ? unit / a.parts : unit;
    const RowTask& task = a.tasks[index];
    if (task.sequence < 0) return;
    const RowCase row = row_case(a, task, index);
    if (row.forced >= 0) {
      if constexpr (Part != RowsPart::first) {
        block.phase([&a, row](const Here& t) {
          write_forced(a.laws.heads[a.tasks[row.index].law], row, t);
        });
      }
      return;
    }
    block.phase([row](const Here& t) { clear_row(row, t); });
    if constexpr (Part == RowsPart::whole) {
      block.cluster_phase([&a, row](const Here& t) {
        load_slice(a, row, a.slice * t.rank, a.slice, t,
                   [&t](std::int32_t i, std::uint32_t key) { t.words[padded(i)] = key; });
      });
      block.phase([](const Here& t) { merge_blocks(t); });
    } else if constexpr (Part == RowsPart::first) {
      first_launch(block, a, row, unit % a.parts);
    } else {
      block.phase([&a, row](const Here& t) { merge_parts(a, row, t); });
    }
    if constexpr (Part != RowsPart::first) finish(block, a, row);
  }

  /// From keys to a law: select, count, write. `block` has phases of Thread<RowsShared>.
  template <class Block>
  SJD_DEVICE static void finish(Block& block, const Arguments& a, const RowCase& row) {
    const std::uint32_t* there =
        in_workspace ? a.workspace.keys + row.index * a.logits.columns : nullptr;
    const auto keys = [&a, there](const Here& t) {
      return RowKeys{in_workspace ? there : t.words, !in_workspace, t, a.logits.columns, a.slice};
    };
    if (row.cut) select<false>(block, row, keys);
    if (row.nucleus) select<true>(block, row, keys);
    block.phase([row, keys](const Here& t) { count_kept(row, keys(t), t); });
    block.phase([](const Here& t) { t.shared->tally.add_groups(t.index, t.count); });
    block.cluster_phase([](const Here& t) {
      if (t.index == 0) t.shared->kept = t.shared->tally.total(t.count);
    });
    block.cluster_phase([&a, row, keys](const Here& t) { write_law(a, row, keys(t), t); });
    if (row.races) {
      block.cluster_phase([&a, row](const Here& t) { end_race(a, row, t); });
    }
  }

 private:
  /// Leaves the guided row of one part, its top and its first bad token in the workspace.
  template <class Block>
  SJD_DEVICE static void first_launch(Block& block, const Arguments& a, const RowCase& row,
                                      std::int64_t part) {
    block.phase([&a, row, part](const Here& t) {
      std::uint32_t* keys = a.workspace.keys + row.index * a.logits.columns + part * a.part;
      load_slice(a, row, part * a.part, a.part, t,
                 [keys](std::int32_t i, std::uint32_t key) { keys[i] = key; });
    });
    block.phase([](const Here& t) { merge_blocks(t); });
    block.phase([&a, row, part](const Here& t) {
      if (t.index > 0) return;
      a.workspace.parts[row.index * a.parts + part] = {t.shared->top, t.shared->bad};
    });
  }

  /// Three rounds of a radix select, over counts or over masses.
  template <bool Weighted, class Block, class Keys>
  SJD_DEVICE static void select(Block& block, const RowCase& row, const Keys& keys) {
    for (int round = 0; round < 3; ++round) {
      block.cluster_phase(
          [row, keys, round](const Here& t) { fill_bins<Weighted>(row, round, keys(t), t); });
      block.phase([round](const Here& t) { gather_bins<Weighted>(round, t); });
      block.phase([](const Here& t) { t.shared->tally.add_groups(t.index, t.count); });
      block.phase([row, round](const Here& t) { find_bin<Weighted>(row, round, t); });
    }
  }
};

}  // namespace sjd::cuda::detail
