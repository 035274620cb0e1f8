// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sjd/cuda/rows.hpp"
#include "sjd/cuda/sequences.hpp"
#include "sjd/cuda/window.hpp"

namespace sjd::cuda {

/// Everything that the library does between two passes of the model.
template <class Logit>
struct StepArguments {
  RowsPlan plan{};
  RowsArguments<Logit> rows{};
  SequencesArguments sequences{};
  WindowArguments window{};
};

/// One library step: laws, verdicts, the next window. Three launches, four with a split plan; no
/// synchronisation, no allocation, nothing is read back, so a graph can hold it.
///
/// errors  invalid_argument if the parts do not fit together; what rows say is in the states, see
///         check_sequence
template <class Launcher, class Logit>
void decode_step(Launcher& launcher, const StepArguments<Logit>& step) {
  const BatchState& batch = step.sequences.batch;
  expects(step.rows.tasks == step.window.tasks && step.rows.laws.heads == batch.laws.heads &&
              step.rows.task_count == batch.sequences * step.window.rows &&
              batch.laws.laws == 2 * batch.sequences * batch.ring,
          ErrorCode::invalid_argument, "cuda::decode_step: the arguments are of different batches");
  rows(launcher, step.plan, step.rows);
  sequences(launcher, step.sequences);
  window(launcher, step.window);
}

}  // namespace sjd::cuda
