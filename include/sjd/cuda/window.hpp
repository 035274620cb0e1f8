// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/cuda/detail/join_kernel.hpp"
#include "sjd/cuda/detail/window_kernel.hpp"
#include "sjd/policies/noise_schedule.hpp"

/// The *window* kernel: from a verdict to the rows of the next pass.
namespace sjd::cuda {

/// Moves every window behind its new tip: surviving drafts take their token of this pass and one
/// denoising step, new slots enter as uniform tokens, forced tokens or fresh Gaussian rows, noisy
/// rows become what the host is fed (RawNoise or PosteriorMean), and the rows of the next pass are
/// written. Bits are those of cpu::advance with the policies that WindowArguments names.
///
/// shapes  see WindowArguments; one block for each row of the next pass
/// memory  all pointers in the launcher's memory; nothing is allocated
/// edge    a finished sequence has no rows (sequence -1); a failed one keeps the rows that it had
/// errors  a draft whose stored law does not hold its token is noted in BatchState::lost; the
///         sequences kernel of the next pass then stops that sequence
/// source  docs/algorithm.md, steps 4 and 6; arXiv 2010.02502 (DDIM, eta = 0)
template <class Launcher>
void window(Launcher& launcher, const WindowArguments& arguments, int threads = 256) {
  expects(threads >= 32 && threads <= most_threads && (threads & (threads - 1)) == 0,
          ErrorCode::invalid_argument, "cuda::window: threads must be 32, 64, .. 512");
  expects(arguments.rows >= 1 && arguments.rows <= arguments.batch.ring,
          ErrorCode::invalid_argument, "cuda::window: rows must be in 1 .. ring");
  expects(arguments.posterior.scores == nullptr ||
              (arguments.embeddings != nullptr && arguments.posterior.weights != nullptr),
          ErrorCode::invalid_argument, "cuda::window: a posterior mean needs room for its result");
  launcher.template launch<detail::WindowKernel>(
      Geometry{arguments.batch.sequences * arguments.rows, 1, threads, 0}, arguments);
}

/// Lays out the rows of the first pass of one sequence, whose state came from the host; later ones
/// are written by window(). For a place without a sequence (a default SequenceState): no rows.
///
/// shapes  see WindowArguments; one block for each row
/// memory  all pointers in the launcher's memory; nothing is allocated
template <class Launcher>
void join(Launcher& launcher, const WindowArguments& arguments, std::int64_t sequence,
          int threads = 256) {
  expects(sequence >= 0 && arguments.rows >= 1 && arguments.rows <= arguments.batch.ring,
          ErrorCode::invalid_argument, "cuda::join: sequence >= 0, and rows in 1 .. ring");
  launcher.template launch<detail::JoinKernel>(Geometry{arguments.rows, 1, threads, 0},
                                               {arguments, sequence});
}

/// A noise schedule written out, on the host: kernels have no pow.
struct NoiseLines {
  std::vector<NoiseCoefficients> coefficients;  // [levels + 1]
  std::vector<std::int32_t> checkpoint_level;   // [levels + 1]

  explicit NoiseLines(const KarrasSchedule& schedule) {
    for (std::int32_t k = 0; k <= schedule.levels; ++k) {
      checkpoint_level.push_back(schedule.checkpoint_level(k));
      coefficients.push_back(schedule.coefficients(checkpoint_level.back()));
    }
  }

  /// What kernels of the host executor read; for a device, copy both arrays there.
  [[nodiscard]] NoiseTable table(const KarrasSchedule& schedule) const {
    return {schedule, schedule.levels, coefficients.data(), checkpoint_level.data()};
  }
};

}  // namespace sjd::cuda
