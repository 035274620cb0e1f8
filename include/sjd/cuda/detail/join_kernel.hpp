// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/cuda/detail/window_kernel.hpp"

namespace sjd::cuda {

/// What the join kernel works on.
struct JoinArguments {
  WindowArguments window{};
  std::int64_t sequence = 0;  ///< that joins
};

namespace detail {

/// See cuda::join. A block lays out one row of the first pass; the slots stand as they are.
struct JoinKernel {
  using Shared = WindowShared;
  using Arguments = JoinArguments;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& arguments) {
    const WindowArguments& a = arguments.window;
    const SequenceState& state = a.batch.states[arguments.sequence];
    WindowCase c;
    c.sequence = arguments.sequence;
    c.row = block.cluster();
    c.slot = c.row - 1;
    c.position = state.committed + c.slot;
    c.iteration = state.iteration;
    c.survives = true;
    const bool there = c.slot < state.width && state.committed < state.total;
    block.phase([&a, c, there](const Here& t) {
      PosteriorRow::clear(t.shared->posterior, t.index);
      if (t.index == 0) take(a, c, there, *t.shared);
    });
    if (a.noise.levels == 0) return;
    block.phase([&a, c](const Here& t) { WindowKernel::move_noise(a, c, t); });
    if (a.posterior.scores != nullptr) WindowKernel::feed_posterior(block, a, c);
  }

 private:
  /// One thread: the slot as the host left it, and its row.
  SJD_DEVICE static void take(const WindowArguments& a, const WindowCase& c, bool there,
                              Shared& s) {
    s.slot = {0, 0, -1};
    if (there && c.slot < 0) s.slot = WindowKernel::tip_of(a, c);
    if (there && c.slot >= 0) s.slot = a.batch.slots[a.batch.slot(c.sequence, c.position)];
    s.from_level = s.slot.level;
    s.steps = 0;
    write_rows(a, c, there ? &s.slot : nullptr);
  }
};

}  // namespace detail

}  // namespace sjd::cuda
