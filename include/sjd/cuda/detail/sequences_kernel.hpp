// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/cuda/batch_state.hpp"
#include "sjd/cuda/detail/law_draw.hpp"

namespace sjd::cuda {

/// The acceptance criterion of a launch.
enum class Judge : std::uint8_t {
  ratio,          ///< SpeculativeAcceptance
  ungated_ratio,  ///< UngatedAcceptance
  shared_noise,   ///< GumbelEquality or QuantileEquality, as the rows kernel drew
};

/// What the sequences kernel works on; the laws of the pass are in batch.laws.
struct SequencesArguments {
  BatchState batch{};
  Judge judge = Judge::ratio;
};

namespace detail {

/// Shared memory of the block of one sequence.
struct SequencesShared {
  BlockSum<Weight> sums;
  SequenceState state;       // as it was, then as it will be
  std::int32_t live;         // there is something to judge
  std::int32_t first_noisy;  // slots, counted from 0; width if there is none
  std::int32_t first_empty;
  std::int32_t first_reject;
  std::int32_t first_bad;  // rows
  std::int32_t draws;      // a token is drawn from law `accepted`
  TokenId drawn;
};

/// See cuda::sequences. A block judges one sequence.
struct SequencesKernel {
  using Shared = SequencesShared;
  using Arguments = SequencesArguments;
  using Here = Thread<Shared>;

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
        if (t.shared->draws != 0) {
          draw_of(a, sequence, *t.shared).add(t.index, t.count, t.shared->sums);
        }
      });
      block.phase([](const Here& t) {
        if (t.shared->draws != 0) t.shared->sums.add_groups(t.index, t.count);
      });
      block.phase([&a, sequence](const Here& t) { draw(a, sequence, t); });
    }
    block.phase([&a, sequence](const Here& t) { commit(a, sequence, t); });
  }

 private:
  SJD_DEVICE static LawView target(const Arguments& a, std::int64_t sequence, const Shared& s,
                                   std::int64_t row) {
    return {a.batch.laws, a.batch.law(sequence, s.state.committed + row, s.state.iteration + 1)};
  }
  SJD_DEVICE static LawView drafted(const Arguments& a, std::int64_t sequence, const Shared& s,
                                    std::int64_t slot) {
    return {a.batch.laws, a.batch.law(sequence, s.state.committed + slot, s.state.iteration)};
  }
  SJD_DEVICE static const DraftSlot& slot_of(const Arguments& a, std::int64_t sequence,
                                             const Shared& s, std::int64_t slot) {
    return a.batch.slots[a.batch.slot(sequence, s.state.committed + slot)];
  }

  SJD_DEVICE static void read(const Arguments& a, std::int64_t sequence, const Here& t) {
    if (t.index > 0) return;
    Shared& s = *t.shared;
    s.state = a.batch.states[sequence];
    s.live = s.state.status == SequenceStatus::running && s.state.committed < s.state.total ? 1 : 0;
    s.state.moved = 0;
    s.draws = 0;
    s.drawn = -1;
    s.first_noisy = s.first_empty = s.first_reject = s.state.width;
    s.first_bad = s.state.width + 1;
    if (s.live != 0 && a.batch.lost[sequence] != BatchState::no_position) {
      s.state.status = SequenceStatus::lost_law;
      s.state.bad_position = static_cast<Position>(a.batch.lost[sequence]);
      s.live = 0;
    }
  }

  /// How far the clean prefix goes, and how far there are tokens.
  SJD_DEVICE static void look(const Arguments& a, std::int64_t sequence, const Here& t) {
    Shared& s = *t.shared;
    for (std::int32_t i = t.index; s.live != 0 && i < s.state.width; i += t.count) {
      const DraftSlot& slot = slot_of(a, sequence, s, i);
      if (slot.level > 0) atomic_min(s.first_noisy, i);
      if (slot.token < 0) atomic_min(s.first_empty, i);
    }
  }

  /// Slots that a law may judge.
  SJD_DEVICE static std::int32_t limit(const Arguments& a, const Shared& s) {
    const std::int32_t gate = a.judge == Judge::ungated_ratio ? s.state.width : s.first_noisy + 1;
    const std::int32_t gated = gate < s.state.width ? gate : s.state.width;
    return gated < s.first_empty ? gated : s.first_empty;
  }

  SJD_DEVICE static void judge(const Arguments& a, std::int64_t sequence, const Here& t) {
    Shared& s = *t.shared;
    if (s.live == 0) return;
    const std::uint64_t key = a.batch.settings[sequence].key;
    for (std::int32_t i = t.index; i < limit(a, s); i += t.count) {
      const LawView p = target(a, sequence, s, i);
      const TokenId token = slot_of(a, sequence, s, i).token;
      if (p.head.status != RowStatus::ok) {
        atomic_min(s.first_bad, i);
      } else if (a.judge == Judge::shared_noise) {
        if (token != p.head.drawn) atomic_min(s.first_reject, i);
      } else {
        const DrawKey draw{s.state.committed + i, s.state.iteration + 1, Purpose::accept};
        if (!passes({p, drafted(a, sequence, s, i), token}, key, draw)) {
          atomic_min(s.first_reject, i);
        }
      }
    }
  }

  /// Thread 0 writes the verdict and where the window goes, see cpu::verify and cpu::advance.
  SJD_DEVICE static void decide(const Arguments& a, std::int64_t sequence, const Here& t) {
    Shared& s = *t.shared;
    if (t.index > 0 || s.live == 0) return;
    SequenceState& state = s.state;
    const std::int32_t last = limit(a, s);
    const std::int32_t clean = a.judge == Judge::ungated_ratio ? state.width : s.first_noisy;
    state.recovered = s.first_reject < last ? 1 : 0;
    state.accepted = state.recovered != 0 ? s.first_reject : last;
    state.judged = state.accepted + state.recovered;
    const bool draws = state.recovered != 0 || state.accepted <= clean;
    const RowStatus status = target(a, sequence, s, state.accepted).head.status;
    if (draws && status != RowStatus::ok) atomic_min(s.first_bad, state.accepted);
    if (s.first_bad <= state.accepted && (draws || s.first_bad < state.accepted)) {
      state.status = SequenceStatus::bad_row;
      state.bad_position = state.committed + s.first_bad;
      s.live = 0;
      return;
    }
    s.draws = draws ? 1 : 0;
    state.shift = state.accepted + s.draws;
    const std::int64_t missing = state.total - state.committed - state.shift;
    const std::int64_t rows = missing < state.window_rows ? missing : state.window_rows;
    const std::int32_t slots = rows > 0 ? static_cast<std::int32_t>(rows) - 1 : 0;
    const std::int32_t rest = state.width - state.shift;
    state.kept = missing <= 0 || rest < 0 ? 0 : rest < slots ? rest : slots;
    state.has_law = missing > 0 && state.shift + state.kept == state.width ? 1 : 0;
    s.first_bad = state.width + 1;
  }

  /// The laws that the window will ask for must stand before anything is committed.
  SJD_DEVICE static void look_ahead(const Arguments& a, std::int64_t sequence, const Here& t) {
    Shared& s = *t.shared;
    if (s.live == 0) return;
    const std::int32_t end = s.state.shift + s.state.kept + s.state.has_law;
    for (std::int32_t i = s.state.shift + t.index; i < end; i += t.count) {
      if (target(a, sequence, s, i).head.status != RowStatus::ok) atomic_min(s.first_bad, i);
    }
  }

  SJD_DEVICE static LawDraw draw_of(const Arguments& a, std::int64_t sequence, const Shared& s) {
    return {target(a, sequence, s, s.state.accepted), drafted(a, sequence, s, s.state.accepted),
            s.state.recovered != 0};
  }

  SJD_DEVICE static void draw(const Arguments& a, std::int64_t sequence, const Here& t) {
    Shared& s = *t.shared;
    if (s.draws == 0) return;
    const DrawKey key{s.state.committed + s.state.accepted, s.state.iteration + 1,
                      s.state.recovered != 0 ? Purpose::residual : Purpose::target};
    const TokenId token =
        draw_of(a, sequence, s)
            .find(t.index, t.count, s.sums, draw_bits(a.batch.settings[sequence].key, key));
    if (token >= 0) s.drawn = token;
  }

  SJD_DEVICE static void commit(const Arguments& a, std::int64_t sequence, const Here& t) {
    const Shared& s = *t.shared;
    const bool bad = s.live != 0 && s.first_bad <= s.state.width;
    const std::int32_t slot = s.state.accepted;
    TokenId token = s.drawn;
    if (s.live != 0 && a.judge == Judge::shared_noise && s.draws != 0) {
      token = target(a, sequence, s, slot).head.drawn;
    }
    const bool lost = s.live != 0 && s.draws != 0 && token < 0;
    if (s.live != 0 && !bad && !lost) {
      for (std::int32_t i = t.index; i < s.state.judged; i += t.count) book(a, sequence, s, i);
    }
    if (t.index > 0) return;
    SequenceState state = s.state;
    if (bad || lost) {
      // What failed first on the CPU: the draw comes before the window.
      state.status = lost ? SequenceStatus::lost_law : SequenceStatus::bad_row;
      state.bad_position = state.committed + (lost ? slot : s.first_bad);
    } else if (s.live != 0) {
      advance(a, sequence, token, state);
    }
    a.batch.states[sequence] = state;
  }

  /// Counts one judged slot, and writes its token if it was accepted.
  SJD_DEVICE static void book(const Arguments& a, std::int64_t sequence, const Shared& s,
                              std::int32_t i) {
    const DraftSlot& slot = slot_of(a, sequence, s, i);
    const std::int64_t line = sequence * a.batch.ring;
    a.batch.counts.judged_by_slot[line + i] += 1;
    atomic_add(a.batch.counts.judged_by_age[line + slot.age], std::uint64_t{1});
    if (i >= s.state.accepted) return;
    a.batch.counts.accepted_by_slot[line + i] += 1;
    atomic_add(a.batch.counts.accepted_by_age[line + slot.age], std::uint64_t{1});
    a.batch.tokens[sequence * a.batch.most_tokens + s.state.committed + i] = slot.token;
  }

  /// Thread 0: lengths and counters behind the commit.
  SJD_DEVICE static void advance(const Arguments& a, std::int64_t sequence, TokenId token,
                                 SequenceState& inout_state) {
    SequenceState& state = inout_state;
    state.token = token;
    if (token >= 0) {
      a.batch.tokens[sequence * a.batch.most_tokens + state.committed + state.accepted] = token;
      state.recovered_in_all += state.recovered;
      state.bonus_in_all += 1 - state.recovered;
    }
    a.batch.counts.passes_by_rows[sequence * a.batch.ring + state.width] += 1;
    state.moved = 1;
    state.forward_passes += 1;
    state.rows += (state.width + 1) * a.batch.settings[sequence].branches;
    state.accepted_in_all += state.accepted;
    state.iteration += 1;
    state.committed += state.shift;
    const std::int64_t missing = state.total - state.committed;
    const std::int64_t rows = missing < state.window_rows ? missing : state.window_rows;
    state.width = rows > 0 ? static_cast<std::int32_t>(rows) - 1 : 0;
  }
};

}  // namespace detail

}  // namespace sjd::cuda
