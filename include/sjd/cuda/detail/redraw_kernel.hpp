// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/cuda/detail/draft_context.hpp"
#include "sjd/cuda/detail/law_draw.hpp"
#include "sjd/cuda/detail/rows_kernel.hpp"
#include "sjd/cuda/detail/sequences_kernel.hpp"
#include "sjd/cuda/detail/window_kernel.hpp"

namespace sjd::cuda {

/// What the redraw kernel works on.
///
/// shapes  rows, sequences: those of the same step; sequences.verdicts [sequences];
///         rows.tasks [sequences, pass_rows]
template <class Logit, class Corrector>
struct RedrawArguments {
  RowsArguments<Logit> rows{};
  SequencesArguments sequences{};
  Refresh refresh = Refresh::maximal;
  std::int64_t pass_rows = 1;  ///< rows of a sequence in the pass, the tip included
  Corrector corrector{};
};

/// The drafts of one sequence that are redrawn, from DraftContext::slot state.shift on.
struct RedrawScene {
  const BatchState& batch;
  const Verdict& verdict;
  std::int64_t sequence = 0;
};

namespace detail {

/// Shared memory of one block.
template <class Own>
struct RedrawShared {
  union {
    RowsShared rows;        // until the law of a draft stands
    BlockSum<Weight> sums;  // from then on
  };
  Own corrector;
  Verdict verdict;
  std::int32_t changed;  // the corrector changes this draft
  std::int32_t redraws;  // its token is drawn from the residual
  std::int32_t stops;    // the sequence stands still
  TokenId drawn;
};

/// See cuda::redraw. A cluster redraws the drafts of one sequence, one after another; every block
/// takes a slice of the vocabulary, and all of them draw, each for itself, the same token.
template <class Logit, class Corrector, bool InWorkspace>
struct RedrawKernel {
  using Shared = RedrawShared<typename Corrector::Shared>;
  using Arguments = RedrawArguments<Logit, Corrector>;
  using Here = Thread<Shared>;
  static constexpr int blocks_at_once = 1;  // one cluster a sequence: registers, not blocks
  using Rows = RowsKernel<Logit, InWorkspace ? RowsPart::second : RowsPart::whole>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t sequence = block.cluster();
    const Verdict& verdict = a.sequences.verdicts[sequence];
    const RedrawScene scene{a.sequences.batch, verdict, sequence};
    block.phase([&verdict](const Here& t) {
      if (t.index > 0) return;
      t.shared->verdict = verdict;
      t.shared->stops = 0;
    });
    const bool undrawn = verdict.draws != 0 && verdict.drawn < 0;
    if (verdict.live != 0 && !undrawn && verdict.state.redrawn > 0) {
      PartBlock<Block, &Shared::corrector> own{block};
      a.corrector.prepare(own, scene);
      for (std::int32_t i = 0; i < verdict.state.redrawn; ++i) {
        if (!redraw(block, a, scene, verdict.state.shift + i)) break;
      }
    }
    block.phase([&a, sequence](const Here& t) {
      if (t.rank == 0) commit(a.sequences.batch, sequence, t.shared->verdict, t);
    });
  }

 private:
  /// Moves one draft to its law; false if the sequence stands still.
  template <class Block>
  SJD_DEVICE static bool redraw(Block& block, const Arguments& a, const RedrawScene& scene,
                                std::int32_t slot) {
    const DraftContext draft{scene.batch, scene.verdict, scene.sequence, slot};
    const std::int64_t index = scene.sequence * a.pass_rows + slot;
    const RowCase row = row_case(a.rows, a.rows.tasks[index], index);
    if (row.forced < 0) {
      block.cluster_phase([&a, draft](const Here& t) {
        if (t.index > 0) return;
        t.shared->changed = a.corrector.changed(draft, t.shared->corrector) ? 1 : 0;
      });
      if (block.ask([](const Shared& s) { return s.changed != 0; })) correct(block, a, draft, row);
    }
    block.cluster_phase([&a, draft](const Here& t) { begin(a, draft, t); });
    if (block.ask([](const Shared& s) { return s.redraws != 0; })) draw(block, a, draft);
    block.cluster_phase([draft](const Here& t) { settle(draft, t); });
    return !block.ask([](const Shared& s) { return s.stops != 0; });
  }

  /// The law of a draft in the context that it now has, in place of that of the pass.
  template <class Block>
  SJD_DEVICE static void correct(Block& block, const Arguments& a, const DraftContext& draft,
                                 const RowCase& row) {
    PartBlock<Block, &Shared::corrector> own{block};
    a.corrector.correct(own, draft);
    PartBlock<Block, &Shared::rows> rows{block};
    rows.phase([row](const Thread<RowsShared>& t) { clear_row(row, t); });
    block.cluster_phase([&a, draft, row](const Here& t) { load(a, draft, row, t); });
    rows.phase([](const Thread<RowsShared>& t) { merge_blocks(t); });
    Rows::finish(rows, a.rows, row);
  }

  SJD_DEVICE static void load(const Arguments& a, const DraftContext& draft, const RowCase& row,
                              const Here& t) {
    const auto change = [&](std::int64_t token, float(&logits)[4]) {
      a.corrector.change(draft, t.shared->corrector, token, logits);
    };
    if constexpr (InWorkspace) {
      std::uint32_t* keys = a.rows.workspace.keys + row.index * a.rows.logits.columns;
      const auto store = [keys](std::int32_t i, std::uint32_t key) { keys[i] = key; };
      load_slice(a.rows, row, 0, a.rows.logits.columns, t.part(&Shared::rows), store, change);
    } else {
      const auto store = [&t](std::int32_t i, std::uint32_t key) { t.words[padded(i)] = key; };
      load_slice(a.rows, row, a.rows.slice * t.rank, a.rows.slice, t.part(&Shared::rows), store,
                 change);
    }
  }

  /// Thread 0: the draft before its refresh, see MaximalCoupling::refresh and FreshRedraw::refresh.
  SJD_DEVICE static void begin(const Arguments& a, const DraftContext& draft, const Here& t) {
    if (t.index > 0) return;
    Shared& s = *t.shared;
    s.redraws = 0;
    s.drawn = -1;
    const SequenceState& state = draft.verdict.state;
    const LawView p = target_law(draft.batch, draft.sequence, state, draft.slot);
    if (p.head.status != RowStatus::ok) {
      s.verdict.first_bad = static_cast<std::int32_t>(draft.slot);
      s.stops = 1;
      return;
    }
    const TokenId old = draft_slot(draft.batch, draft.sequence, state, draft.slot).token;
    if (a.refresh == Refresh::drawn || old < 0) {
      s.drawn = p.head.drawn;
      return;
    }
    const LawView q = draft_law(draft.batch, draft.sequence, state, draft.slot);
    const DrawKey keep{draft.position(), state.iteration + 1, Purpose::couple_keep};
    s.redraws = passes({p, q, old}, draft.batch.settings[draft.sequence].key, keep) ? 0 : 1;
    if (s.redraws == 0) s.drawn = old;
  }

  /// The residual of a draft that was not kept.
  template <class Block>
  SJD_DEVICE static void draw(Block& block, const Arguments&, const DraftContext& draft) {
    const auto residual = [draft] {
      const SequenceState& state = draft.verdict.state;
      return LawDraw{target_law(draft.batch, draft.sequence, state, draft.slot),
                     draft_law(draft.batch, draft.sequence, state, draft.slot), true};
    };
    block.phase([residual](const Here& t) { residual().add(t.index, t.count, t.shared->sums); });
    block.phase([](const Here& t) { t.shared->sums.add_groups(t.index, t.count); });
    block.phase([residual, draft](const Here& t) {
      const DrawKey key{draft.position(), draft.verdict.state.iteration + 1,
                        Purpose::couple_residual};
      const uint128 bits = draw_bits(draft.batch.settings[draft.sequence].key, key);
      const TokenId token = residual().find(t.index, t.count, t.shared->sums, bits);
      if (token >= 0) t.shared->drawn = token;
    });
  }

  /// Thread 0: the token where the window kernel and the drafts to the right look for it.
  SJD_DEVICE static void settle(const DraftContext& draft, const Here& t) {
    Shared& s = *t.shared;
    if (t.index > 0 || s.stops != 0) return;
    if (s.drawn < 0) {
      s.verdict.first_lost = static_cast<std::int32_t>(draft.slot);
      s.stops = 1;
    } else if (t.rank == 0) {
      const SequenceState& state = draft.verdict.state;
      const std::int64_t law =
          draft.batch.law(draft.sequence, state.committed + draft.slot, state.iteration + 1);
      draft.batch.laws.heads[law].drawn = s.drawn;
    }
  }
};

}  // namespace detail

}  // namespace sjd::cuda
