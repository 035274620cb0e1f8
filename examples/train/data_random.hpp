// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace sjd::train {

/// SplitMix64 with its own distributions: the standard ones differ between libraries, and the
/// split and the augmentations must be the same everywhere.
class SplitMix {
 public:
  /// A generator for one purpose: every combination of `keys` is a stream of its own.
  SplitMix(std::initializer_list<std::uint64_t> keys) {
    for (const std::uint64_t key : keys) state_ = mix(state_ + golden) ^ key;
  }

  std::uint64_t next() { return mix(state_ += golden); }

  /// Uniform in [0, 1).
  double uniform() { return static_cast<double>(next() >> 11U) * 0x1p-53; }

  /// Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Uniform in 0 .. bound - 1; the bias of the remainder is below 2^-40 for our bounds.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

  template <class T>
  void shuffle(std::vector<T>& inout_items) {
    for (std::uint64_t size = inout_items.size(); size > 1; --size) {
      std::swap(inout_items[size - 1], inout_items[below(size)]);
    }
  }

 private:
  static constexpr std::uint64_t golden = 0x9e3779b97f4a7c15U;

  static std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
    return value ^ (value >> 31U);
  }

  std::uint64_t state_ = 0;
};

}  // namespace sjd::train
