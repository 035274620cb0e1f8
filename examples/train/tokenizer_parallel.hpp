// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

namespace sjd::train {

/// Cores this process may use, as `taskset` left them.
inline std::int64_t usable_cores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return 1;
  return std::max(1, CPU_COUNT(&cores));
}

/// Calls work(begin, end) for equal parts of 0 .. count, one thread per usable core. The results
/// must not depend on the number of parts.
template <class Work>
void on_all_cores(std::int64_t count, const Work& work) {
  const std::int64_t parts = std::min(usable_cores(), std::max<std::int64_t>(count, 1));
  std::vector<std::jthread> threads;
  for (std::int64_t part = 1; part < parts; ++part) {
    const std::int64_t begin = count * part / parts;
    const std::int64_t end = count * (part + 1) / parts;
    threads.emplace_back([&work, begin, end] { work(begin, end); });
  }
  work(std::int64_t{0}, count / parts);
}

}  // namespace sjd::train
