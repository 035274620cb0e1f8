// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/cuda/batch_state.hpp"
#include "sjd/cuda/detail/phases.hpp"

/// From a verdict to a committed state; the last phase of whichever kernel decides last.
namespace sjd::cuda::detail {

/// The law of this pass for the position of row `row` + 1; row 0 is the tip.
[[nodiscard]] SJD_DEVICE inline LawView target_law(const BatchState& batch, std::int64_t sequence,
                                                   const SequenceState& state, std::int64_t row) {
  return {batch.laws, batch.law(sequence, state.committed + row, state.iteration + 1)};
}
/// The law that a draft was drawn from.
[[nodiscard]] SJD_DEVICE inline LawView draft_law(const BatchState& batch, std::int64_t sequence,
                                                  const SequenceState& state, std::int64_t slot) {
  return {batch.laws, batch.law(sequence, state.committed + slot, state.iteration)};
}
[[nodiscard]] SJD_DEVICE inline const DraftSlot& draft_slot(const BatchState& batch,
                                                            std::int64_t sequence,
                                                            const SequenceState& state,
                                                            std::int64_t slot) {
  return batch.slots[batch.slot(sequence, state.committed + slot)];
}

/// Counts one judged slot, and writes its token if it was accepted.
SJD_DEVICE inline void book(const BatchState& batch, std::int64_t sequence,
                            const SequenceState& state, std::int32_t i) {
  const DraftSlot& slot = draft_slot(batch, sequence, state, i);
  const std::int64_t line = sequence * batch.ring;
  batch.counts.judged_by_slot[line + i] += 1;
  atomic_add(batch.counts.judged_by_age[line + slot.age], std::uint64_t{1});
  if (i >= state.accepted) return;
  batch.counts.accepted_by_slot[line + i] += 1;
  atomic_add(batch.counts.accepted_by_age[line + slot.age], std::uint64_t{1});
  batch.tokens[sequence * batch.most_tokens + state.committed + i] = slot.token;
}

/// One thread: lengths and counters behind the commit.
SJD_DEVICE inline void move_on(const BatchState& batch, std::int64_t sequence, TokenId token,
                               SequenceState& inout_state) {
  SequenceState& state = inout_state;
  state.token = token;
  if (token >= 0) {
    batch.tokens[sequence * batch.most_tokens + state.committed + state.accepted] = token;
    state.recovered_in_all += state.recovered;
    state.bonus_in_all += 1 - state.recovered;
  }
  batch.counts.passes_by_rows[sequence * batch.ring + state.width] += 1;
  state.moved = 1;
  state.forward_passes += 1;
  state.rows += (state.width + 1) * batch.settings[sequence].branches;
  state.accepted_in_all += state.accepted;
  state.iteration += 1;
  state.committed += state.shift;
  const std::int64_t missing = state.total - state.committed;
  const std::int64_t rows = missing < state.window_rows ? missing : state.window_rows;
  state.width = rows > 0 ? static_cast<std::int32_t>(rows) - 1 : 0;
}

/// A phase of one block: a sequence moves as a whole, or says why it stands still.
template <class Shared>
SJD_DEVICE void commit(const BatchState& batch, std::int64_t sequence, const Verdict& verdict,
                       const Thread<Shared>& t) {
  const bool undrawn = verdict.draws != 0 && verdict.drawn < 0;
  const std::int32_t last = verdict.state.width;
  const bool lost = verdict.live != 0 && (undrawn || verdict.first_lost <= last);
  const bool bad = verdict.live != 0 && verdict.first_bad <= last;
  const bool moves = verdict.live != 0 && !bad && !lost;
  for (std::int32_t i = t.index; moves && i < verdict.state.judged; i += t.count) {
    book(batch, sequence, verdict.state, i);
  }
  if (t.index > 0) return;
  SequenceState state = verdict.state;
  if (lost) {
    // What failed first on the CPU: the draw comes before the window.
    state.status = SequenceStatus::lost_law;
    state.bad_position = state.committed + (undrawn ? state.accepted : verdict.first_lost);
  } else if (bad) {
    state.status = SequenceStatus::bad_row;
    state.bad_position = state.committed + verdict.first_bad;
  } else if (moves) {
    move_on(batch, sequence, verdict.drawn, state);
  }
  batch.states[sequence] = state;
}

}  // namespace sjd::cuda::detail
