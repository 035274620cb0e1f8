// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/cuda/batch_state.hpp"
#include "sjd/cuda/detail/phases.hpp"

namespace sjd::cuda {

/// The few words that a host reads between two runs of steps.
struct Progress {
  std::int32_t steps = 0;       ///< done in this run
  std::int32_t most_steps = 1;  ///< of a run
  std::int32_t live = 0;        ///< sequences that still decode
  std::int32_t least_live = 1;  ///< the run ends when fewer do
  std::int32_t goes_on = 1;     ///< another step is due
};

/// What the progress kernel works on.
///
/// shapes  states [sequences]; progress: one
struct ProgressArguments {
  const SequenceState* states = nullptr;
  std::int64_t sequences = 0;
  Progress* progress = nullptr;
};

namespace detail {

struct ProgressShared {
  std::uint32_t live;
};

/// One block: counts the sequences that still decode, and decides whether the run goes on.
struct ProgressKernel {
  using Shared = ProgressShared;
  using Arguments = ProgressArguments;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    block.phase([](const Here& t) {
      if (t.index == 0) t.shared->live = 0;
    });
    block.phase([&a](const Here& t) {
      for (std::int64_t s = t.index; s < a.sequences; s += t.count) {
        const SequenceState& state = a.states[s];
        const bool live = state.status == SequenceStatus::running && state.committed < state.total;
        if (live) atomic_add(t.shared->live, 1U);
      }
    });
    block.phase([&a](const Here& t) {
      if (t.index > 0) return;
      Progress& p = *a.progress;
      p.live = static_cast<std::int32_t>(t.shared->live);
      p.steps += 1;
      p.goes_on = p.live >= p.least_live && p.steps < p.most_steps ? 1 : 0;
    });
  }
};

}  // namespace detail

/// Counts a step, behind it. One launch.
///
/// memory  all pointers in the launcher's memory; nothing is allocated
template <class Launcher>
void count_progress(Launcher& launcher, const ProgressArguments& arguments) {
  launcher.template launch<detail::ProgressKernel>(Geometry{1, 1, 128, 0}, arguments);
}

}  // namespace sjd::cuda
