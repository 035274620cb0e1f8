// SPDX-License-Identifier: Apache-2.0
#pragma once

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

/// Lets the contenders take turns, so that all meet the same machine: after one call each that does
/// not count, rounds of one call each until `seconds` are over, at least 5 and at most 101.
///
/// returns the samples of every contender, in order
inline std::vector<Samples> interleave(const std::vector<Contender>& contenders, double seconds) {
  std::vector<Samples> samples(contenders.size());
  for (const Contender& contender : contenders) contender.work();
  const Stopwatch clock;
  for (int round = 0; round < 101 && (round < 5 || clock.seconds() < seconds); ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const Stopwatch watch;
      contenders[i].work();
      samples[i].push_back(watch.seconds() / contenders[i].units);
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
