// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ctime>
#include <functional>
#include <sjd/core/stopwatch.hpp>
#include <string>
#include <vector>

namespace sjd::bench {

/// One of several that do the same work.
struct Contender {
  std::string name;
  std::function<void()> work;
  double units = 1.0;  ///< of one call: elements, sequences, floating-point operations
};

/// Seconds a unit, one number a round.
using Samples = std::vector<double>;

/// Seconds that the calling thread has spent on a core, or of the wall clock. What else the machine
/// does shows in the caches only; work on several threads needs the wall.
inline double clock_seconds(bool wall) {
  timespec time{};
  ::clock_gettime(wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Lets the contenders take turns, so that all meet the same machine: after one call each that does
/// not count, rounds of one call each until `seconds` are over, at least 5 and at most 101.
///
/// `threads`: on how many the contenders work. With one their time on the core counts.
///
/// returns the samples of every contender, in order
inline std::vector<Samples> interleave(const std::vector<Contender>& contenders, double seconds,
                                       int threads = 1) {
  std::vector<Samples> samples(contenders.size());
  for (const Contender& contender : contenders) contender.work();
  const Stopwatch clock;
  for (int round = 0; round < 101 && (round < 5 || clock.seconds() < seconds); ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const double start = clock_seconds(threads > 1);
      contenders[i].work();
      samples[i].push_back((clock_seconds(threads > 1) - start) / contenders[i].units);
    }
  }
  return samples;
}

/// How often each sample of `slow` holds that of `fast`, round by round.
inline Samples ratios(const Samples& slow, const Samples& fast) {
  Samples result;
  for (std::size_t i = 0; i < slow.size(); ++i) result.push_back(slow[i] / fast[i]);
  return result;
}

/// Keeps a result that nobody reads from being optimised away.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

}  // namespace sjd::bench
