// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include "sjd/cuda/redraw.hpp"
#include "sjd/cuda/rows.hpp"
#include "sjd/cuda/sequences.hpp"
#include "sjd/cuda/window.hpp"

namespace sjd::cuda {

/// Everything that the library does between two passes of the model.
template <class Logit, class Corrector = NoChange>
struct StepArguments {
  RowsPlan plan{};
  RowsArguments<Logit> rows{};
  SequencesArguments sequences{};
  WindowArguments window{};
  RowsPlan redraw_plan{};  ///< see plan_redraw; of no use to NoChange
  Corrector corrector{};
};

/// One library step: laws, verdicts, the next window. Three launches, one more with a corrector and
/// with a split plan; no synchronisation, no allocation, nothing is read back, so a graph can hold
/// it.
///
/// errors  invalid_argument if the parts do not fit together; what rows say is in the states, see
///         check_sequence
template <class Launcher, class Logit, class Corrector>
void decode_step(Launcher& launcher, const StepArguments<Logit, Corrector>& step) {
  constexpr bool redraws = !std::is_same_v<Corrector, NoChange>;
  const BatchState& batch = step.sequences.batch;
  expects(step.rows.tasks == step.window.tasks && step.rows.laws.heads == batch.laws.heads &&
              step.rows.task_count == batch.sequences * step.window.rows &&
              batch.laws.laws >= 2 * batch.sequences * batch.ring,
          ErrorCode::invalid_argument, "cuda::decode_step: the arguments are of different batches");
  expects((step.sequences.verdicts != nullptr) == redraws && (redraws || step.sequences.depth == 0),
          ErrorCode::invalid_argument,
          "cuda::decode_step: verdicts are for a step with a corrector, and only for it");
  rows(launcher, step.plan, step.rows);
  sequences(launcher, step.sequences);
  if constexpr (redraws) {
    redraw(launcher, step.redraw_plan,
           RedrawArguments<Logit, Corrector>{step.rows, step.sequences, step.window.refresh,
                                             step.window.rows, step.corrector});
  }
  window(launcher, step.window);
}

}  // namespace sjd::cuda
