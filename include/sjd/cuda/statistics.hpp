// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sjd/core/error.hpp"
#include "sjd/cuda/detail/statistics_kernel.hpp"

/// The *statistics* kernels: the space that noise lives in, from the embedding table.
namespace sjd::cuda {

/// Mean and standard deviation of the image rows of an embedding table, and the table normalised by
/// them: PerChannelNormalization or PerTokenNormalization, bit for bit. Two passes in double
/// precision in the CPU's order; run once for a checkpoint, not in a step. Two launches.
///
/// shapes  see StatisticsArguments
/// memory  all pointers in the launcher's memory; nothing is allocated
/// edge    a channel or row without variance has scale 1
/// errors  invalid_argument for an empty table or a missing array
template <class Launcher>
void statistics(Launcher& launcher, const StatisticsArguments& arguments, int threads = 256) {
  const StatisticsArguments& a = arguments;
  expects(a.table.rows >= 1 && a.table.columns >= 1 && a.normalized != nullptr &&
              a.mean != nullptr && a.scale != nullptr && (a.per_channel || a.rows != nullptr),
          ErrorCode::invalid_argument, "cuda::statistics: an array is missing or empty");
  const std::int64_t lines = a.per_channel ? a.table.columns : a.table.rows;
  launcher.template launch<detail::MomentsKernel>(
      Geometry{(lines + threads - 1) / threads, 1, threads, 0}, a);
  launcher.template launch<detail::NormalizeKernel>(Geometry{a.table.rows, 1, threads, 0}, a);
}

}  // namespace sjd::cuda
