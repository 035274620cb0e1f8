// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sjd/core/config.hpp"

namespace sjd::cuda {

inline constexpr int most_threads = 512;  ///< in a block of any kernel here
inline constexpr int group_size = 16;     ///< threads whose parts are summed together

/// Sums over the threads of a block in their order, in two phases behind the one that fills `part`:
/// integers only, so the grouping does not show.
///
/// Sum is trivial, has += and a static zero().
template <class Sum>
struct BlockSum {
  Sum part[most_threads];                // [threads]
  Sum group[most_threads / group_size];  // [threads / group_size]

  /// A phase: the sums of the groups.
  SJD_DEVICE void add_groups(int thread, int threads) {
    if (thread * group_size >= threads) return;
    Sum sum = part[thread * group_size];
    for (int i = 1; i < group_size; ++i) sum += part[thread * group_size + i];
    group[thread] = sum;
  }
  /// Sum of the parts of all threads before this one.
  [[nodiscard]] SJD_DEVICE Sum before(int thread) const {
    Sum sum = Sum::zero();
    for (int g = 0; g < thread / group_size; ++g) sum += group[g];
    for (int t = thread / group_size * group_size; t < thread; ++t) sum += part[t];
    return sum;
  }
  [[nodiscard]] SJD_DEVICE Sum total(int threads) const {
    Sum sum = Sum::zero();
    for (int g = 0; g < threads / group_size; ++g) sum += group[g];
    return sum;
  }
};

}  // namespace sjd::cuda
