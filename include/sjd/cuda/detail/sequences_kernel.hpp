// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/cuda/batch_state.hpp"
#include "sjd/cuda/detail/commit.hpp"
#include "sjd/cuda/detail/law_draw.hpp"

namespace sjd::cuda {

/// The acceptance criterion of a launch.
enum class Judge : std::uint8_t {
  ratio,          ///< SpeculativeAcceptance
  ungated_ratio,  ///< UngatedAcceptance
  shared_noise,   ///< GumbelEquality or QuantileEquality, as the rows kernel drew
};

/// What the sequences kernel works on; the laws of the pass are in batch.laws.
///
/// shapes  verdicts [sequences], or null: the kernel commits what it decides. With verdicts the
///         redraw kernel commits, behind the drafts that it redraws
struct SequencesArguments {
  BatchState batch{};
  Judge judge = Judge::ratio;
  Verdict* verdicts = nullptr;
  std::int64_t depth = 0;  ///< drafts behind the tip that are redrawn; 0 without verdicts
};

namespace detail {

/// Shared memory of the block of one sequence.
struct SequencesShared {
  BlockSum<Weight> sums;
  Verdict verdict;
  std::int32_t first_noisy;  // slots, counted from 0; width if there is none
  std::int32_t first_empty;
  std::int32_t first_reject;
};

/// See cuda::sequences. A block judges one sequence.
struct SequencesKernel {
  using Shared = SequencesShared;
  using Arguments = SequencesArguments;
  using Here = Thread<Shared>;
  static constexpr int blocks_at_once = 1;  // as few as there are sequences

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t sequence = block.cluster();
    block.phase([&a, sequence](const Here& t) { read(a, sequence, t); });
    block.phase([&a, sequence](const Here& t) { look(a, sequence, t); });
    block.phase([&a, sequence](const Here& t) { judge(a, sequence, t); });
    block.phase([&a, sequence](const Here& t) { decide(a, sequence, t); });
    block.phase([&a, sequence](const Here& t) { look_ahead(a, sequence, t); });
    if (a.judge != Judge::shared_noise) {
      block.phase([&a, sequence](const Here& t) {
        if (t.shared->verdict.draws != 0) {
          draw_of(a, sequence, *t.shared).add(t.index, t.count, t.shared->sums);
        }
      });
      block.phase([](const Here& t) {
        if (t.shared->verdict.draws != 0) t.shared->sums.add_groups(t.index, t.count);
      });
      block.phase([&a, sequence](const Here& t) { draw(a, sequence, t); });
    }
    block.phase([&a, sequence](const Here& t) {
      if (a.verdicts == nullptr) {
        commit(a.batch, sequence, t.shared->verdict, t);
      } else if (t.index == 0) {
        a.verdicts[sequence] = t.shared->verdict;
      }
    });
  }

 private:
  SJD_DEVICE static void read(const Arguments& a, std::int64_t sequence, const Here& t) {
    if (t.index > 0) return;
    Shared& s = *t.shared;
    Verdict& v = s.verdict;
    v.state = a.batch.states[sequence];
    v.live = v.state.status == SequenceStatus::running && v.state.committed < v.state.total ? 1 : 0;
    v.state.moved = v.state.redrawn = 0;
    v.draws = 0;
    v.drawn = -1;
    s.first_noisy = s.first_empty = s.first_reject = v.state.width;
    v.first_bad = v.first_lost = v.none();
    if (v.live != 0 && a.batch.lost[sequence] != BatchState::no_position) {
      v.state.status = SequenceStatus::lost_law;
      v.state.bad_position = static_cast<Position>(a.batch.lost[sequence]);
      v.live = 0;
    }
  }

  /// How far the clean prefix goes, and how far there are tokens.
  SJD_DEVICE static void look(const Arguments& a, std::int64_t sequence, const Here& t) {
    Shared& s = *t.shared;
    const Verdict& v = s.verdict;
    for (std::int32_t i = t.index; v.live != 0 && i < v.state.width; i += t.count) {
      const DraftSlot& slot = draft_slot(a.batch, sequence, v.state, i);
      if (slot.level > 0) atomic_min(s.first_noisy, i);
      if (slot.token < 0) atomic_min(s.first_empty, i);
    }
  }

  /// Slots that a law may judge.
  SJD_DEVICE static std::int32_t limit(const Arguments& a, const Shared& s) {
    const Verdict& v = s.verdict;
    const std::int32_t gate = a.judge == Judge::ungated_ratio ? v.state.width : s.first_noisy + 1;
    const std::int32_t gated = gate < v.state.width ? gate : v.state.width;
    return gated < s.first_empty ? gated : s.first_empty;
  }

  SJD_DEVICE static void judge(const Arguments& a, std::int64_t sequence, const Here& t) {
    Shared& s = *t.shared;
    Verdict& v = s.verdict;
    if (v.live == 0) return;
    const std::uint64_t key = a.batch.settings[sequence].key;
    for (std::int32_t i = t.index; i < limit(a, s); i += t.count) {
      const LawView p = target_law(a.batch, sequence, v.state, i);
      const TokenId token = draft_slot(a.batch, sequence, v.state, i).token;
      if (p.head.status != RowStatus::ok) {
        atomic_min(v.first_bad, i);
      } else if (a.judge == Judge::shared_noise) {
        if (token != p.head.drawn) atomic_min(s.first_reject, i);
      } else {
        const DrawKey draw{v.state.committed + i, v.state.iteration + 1, Purpose::accept};
        if (!passes({p, draft_law(a.batch, sequence, v.state, i), token}, key, draw)) {
          atomic_min(s.first_reject, i);
        }
      }
    }
  }

  /// Thread 0 writes the verdict and where the window goes, see cpu::verify and cpu::advance.
  SJD_DEVICE static void decide(const Arguments& a, std::int64_t sequence, const Here& t) {
    Shared& s = *t.shared;
    if (t.index > 0 || s.verdict.live == 0) return;
    SequenceState& state = s.verdict.state;
    const std::int32_t last = limit(a, s);
    const std::int32_t clean = a.judge == Judge::ungated_ratio ? state.width : s.first_noisy;
    state.recovered = s.first_reject < last ? 1 : 0;
    state.accepted = state.recovered != 0 ? s.first_reject : last;
    state.judged = state.accepted + state.recovered;
    const bool draws = state.recovered != 0 || state.accepted <= clean;
    const RowStatus status = target_law(a.batch, sequence, state, state.accepted).head.status;
    if (draws && status != RowStatus::ok) atomic_min(s.verdict.first_bad, state.accepted);
    if (s.verdict.first_bad <= state.accepted && (draws || s.verdict.first_bad < state.accepted)) {
      state.status = SequenceStatus::bad_row;
      state.bad_position = state.committed + s.verdict.first_bad;
      s.verdict.live = 0;
      return;
    }
    s.verdict.draws = draws ? 1 : 0;
    state.shift = state.accepted + s.verdict.draws;
    const std::int64_t missing = state.total - state.committed - state.shift;
    const std::int64_t rows = missing < state.window_rows ? missing : state.window_rows;
    const std::int32_t slots = rows > 0 ? static_cast<std::int32_t>(rows) - 1 : 0;
    const std::int32_t rest = state.width - state.shift;
    state.kept = missing <= 0 || rest < 0 ? 0 : rest < slots ? rest : slots;
    state.has_law = missing > 0 && state.shift + state.kept == state.width ? 1 : 0;
    state.redrawn = static_cast<std::int32_t>(a.depth < state.kept ? a.depth : state.kept);
    s.verdict.first_bad = s.verdict.none();
    if (draws && a.judge == Judge::shared_noise) {
      s.verdict.drawn = target_law(a.batch, sequence, state, state.accepted).head.drawn;
    }
  }

  /// The laws that the window will ask for must stand before anything is committed; those of
  /// drafts that are redrawn are looked at there.
  SJD_DEVICE static void look_ahead(const Arguments& a, std::int64_t sequence, const Here& t) {
    Shared& s = *t.shared;
    if (s.verdict.live == 0) return;
    const SequenceState& state = s.verdict.state;
    const std::int32_t end = state.shift + state.kept + state.has_law;
    for (std::int32_t i = state.shift + state.redrawn + t.index; i < end; i += t.count) {
      if (target_law(a.batch, sequence, state, i).head.status != RowStatus::ok)
        atomic_min(s.verdict.first_bad, i);
    }
  }

  SJD_DEVICE static LawDraw draw_of(const Arguments& a, std::int64_t sequence, const Shared& s) {
    const SequenceState& state = s.verdict.state;
    return {target_law(a.batch, sequence, state, state.accepted),
            draft_law(a.batch, sequence, state, state.accepted), state.recovered != 0};
  }

  SJD_DEVICE static void draw(const Arguments& a, std::int64_t sequence, const Here& t) {
    Shared& s = *t.shared;
    if (s.verdict.draws == 0) return;
    const SequenceState& state = s.verdict.state;
    const DrawKey key{state.committed + state.accepted, state.iteration + 1,
                      state.recovered != 0 ? Purpose::residual : Purpose::target};
    const TokenId token =
        draw_of(a, sequence, s)
            .find(t.index, t.count, s.sums, draw_bits(a.batch.settings[sequence].key, key));
    if (token >= 0) s.verdict.drawn = token;
  }
};

}  // namespace detail

}  // namespace sjd::cuda
