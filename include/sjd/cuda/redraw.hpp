// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>

#include "sjd/core/error.hpp"
#include "sjd/cuda/detail/head_change.hpp"
#include "sjd/cuda/rows.hpp"

/// The *redraw* kernel: a corrector between the verdict and the commit.
namespace sjd::cuda {

/// No drafts are redrawn.
struct NoChange {};

/// A corrector that kernels can run: sjd::CorrectorPolicy written as phases. A value, copied into
/// the arguments of a launch.
///
/// - `Shared`: what a block keeps of it; trivial
/// - `prepare(block, scene)`: phases before the first draft of a sequence, for all of them
/// - `changed(draft, shared)`: one thread of each block; whether the law of this draft is
///   corrected. It sees what is left of the draft, see DraftContext, and nothing else
/// - `correct(block, draft)`: phases before the logits are read; only where it changed
/// - `change(draft, shared, token, logits)`: changes the guided logits of four tokens from `token`
///   on; those behind the vocabulary are of no use
///
/// Phases take Thread<Shared>; the last one of each list ends with a barrier of the cluster.
template <class C>
concept DeviceCorrector = requires(const C& corrector, const DraftContext& draft,
                                   typename C::Shared& shared, float (&logits)[4]) {
  { corrector.changed(draft, shared) } -> std::same_as<bool>;
  corrector.change(draft, shared, std::int64_t{}, logits);
};

/// One cluster a sequence, its blocks as many as help with the output layer; where a row does not
/// fit the memory of eight blocks (no clusters, large vocabulary), one block, and keys go through
/// RowsWorkspace.
///
/// errors  invalid_argument for a vocabulary outside 1 .. 2^18
[[nodiscard]] inline RowsPlan plan_redraw(std::int64_t vocab, std::int64_t sequences,
                                          const DeviceLimits& limits) {
  expects(vocab >= 1 && vocab <= detail::most_vocab, ErrorCode::invalid_argument,
          "plan_redraw: the vocabulary must be in 1 .. 2^18");
  constexpr std::int64_t worth_a_block = 256;
  return detail::plan_clusters(vocab, sequences, sizeof(detail::RedrawShared<HeadChange::Shared>),
                               limits, [&](std::int64_t blocks, std::int64_t slice) {
                                 return 2 * sequences * blocks <= limits.multiprocessors &&
                                        slice >= worth_a_block;
                               });
}

/// Redraws the first drafts behind the new tip of every sequence, left to right, in the context
/// that they now have, and commits the verdicts: laws go to the LawTable in place of those of the
/// pass, tokens to LawHead::drawn, where the window kernel takes them. Laws and tokens are those of
/// SpeculativeJacobiDenoiser with the corrector that `arguments.corrector` stands for, bit for bit,
/// whatever the plan. A draft whose neighbours stand costs its coupling alone.
///
/// shapes  see RedrawArguments; one cluster for each sequence
/// memory  all pointers in the launcher's memory; nothing is allocated
/// edge    a forced position keeps its law
/// errors  invalid_argument for arguments that do not fit together; a sequence whose corrected law
///         is bad, or whose draft is not in the law that it carries, commits nothing and says so in
///         its SequenceState
/// source  docs/algorithm.md, step 5
template <class Launcher, class Logit, class Corrector>
void redraw(Launcher& launcher, const RowsPlan& plan,
            const RedrawArguments<Logit, Corrector>& arguments) {
  const SequencesArguments& verdicts = arguments.sequences;
  const std::int64_t columns = arguments.rows.logits.columns;
  expects(verdicts.verdicts != nullptr && verdicts.depth >= 0, ErrorCode::invalid_argument,
          "cuda::redraw: the verdicts are missing");
  expects(plan.geometry.clusters == verdicts.batch.sequences && plan.slice % 32 == 0 &&
              plan.geometry.blocks * plan.slice >= columns &&
              arguments.rows.task_count == verdicts.batch.sequences * arguments.pass_rows,
          ErrorCode::invalid_argument,
          "cuda::redraw: the plan is of another vocabulary or sequence count");
  expects(!plan.split || arguments.rows.workspace.keys != nullptr, ErrorCode::invalid_argument,
          "cuda::redraw: a split plan needs a workspace");
  RedrawArguments<Logit, Corrector> launched = arguments;
  launched.rows = with_plan(plan, arguments.rows);
  if (plan.split) {
    launcher.template launch<detail::RedrawKernel<Logit, Corrector, true>>(plan.geometry, launched);
  } else {
    launcher.template launch<detail::RedrawKernel<Logit, Corrector, false>>(plan.geometry,
                                                                            launched);
  }
}

}  // namespace sjd::cuda
