// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sjd/core/error.hpp"
#include "sjd/cuda/detail/sequences_kernel.hpp"

/// The *sequences* kernel: from laws to committed tokens.
namespace sjd::cuda {

/// Judges the window of every sequence and commits, or leaves a Verdict to the redraw kernel:
/// drafts accepted by exact integer ratios, the residual or bonus token, lengths, finished pictures
/// and counters. Decisions are those of cpu::verify with the policies that Judge names, bit for
/// bit; a ragged batch, every sequence with its own cursor.
///
/// shapes  see SequencesArguments; one block for each sequence
/// memory  all pointers in the launcher's memory; nothing is allocated
/// edge    a finished or failed sequence is left alone; an empty window gives one bonus token
/// errors  a sequence that asks for the law of a bad row, or whose residual is empty, commits
///         nothing and says so in its SequenceState, see check_sequence
/// source  docs/algorithm.md, step 2; arXiv 2211.17192
template <class Launcher>
void sequences(Launcher& launcher, const SequencesArguments& arguments, int threads = 256) {
  expects(threads >= 32 && threads <= most_threads && (threads & (threads - 1)) == 0,
          ErrorCode::invalid_argument, "cuda::sequences: threads must be 32, 64, .. 512");
  expects(arguments.depth >= 0 && (arguments.depth == 0 || arguments.verdicts != nullptr),
          ErrorCode::invalid_argument, "cuda::sequences: a depth needs verdicts");
  launcher.template launch<detail::SequencesKernel>(
      Geometry{arguments.batch.sequences, 1, threads, 0}, arguments);
}

/// Throws what the CPU path throws for a sequence that stands still.
///
/// `head`: the law of state.bad_position, from BatchState::laws
/// errors  invalid_logits, empty_support or contract, each naming sequence and position
inline void check_sequence(const SequenceState& state, const LawHead& head, std::int32_t sequence) {
  if (state.status == SequenceStatus::running) return;
  if (state.status == SequenceStatus::bad_row) check_row(head, sequence, state.bad_position);
  throw Error{ErrorCode::contract,
              "the draft of image position " + std::to_string(state.bad_position) +
                  " has no mass in the law that it carries (sequence " + std::to_string(sequence) +
                  ", image position " + std::to_string(state.bad_position) + ")",
              sequence, state.bad_position};
}

}  // namespace sjd::cuda
