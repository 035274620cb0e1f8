// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "sjd/core/numeric.hpp"
#include "sjd/cpu/kernels.hpp"

namespace sjd::cpu {

/// Finds the value of a list from which up its weights reach a target, without sorting it.
///
/// Every sweep weighs what lies from three pivots up and keeps the part that holds the threshold.
/// The pivots stand around where a bell, later a straight line through the weights, would have it;
/// after a sweep that does not halve the list they split the range of floats in four, so that a
/// list of n values takes at most 18 + 2 log2(n) sweeps, all but 20 or so over less than half of
/// it.
class ThresholdSearch {
 public:
  explicit ThresholdSearch(const KernelTable& kernel = kernels()) : kernel_{&kernel} {}

  /// The largest value t of the list with (double) weight{x >= t} >= target; -Inf if there is none
  /// above.
  ///
  /// shapes  list [size]; `weight`: of the whole list; `first`: pivots of the first sweep, null:
  ///         none are known
  /// edge    no value is NaN or +Inf; -0 and 0 are one value
  float find(WeighedList list, double target, std::uint64_t weight, const Pivots* first = nullptr) {
    begin(list, target, weight);
    return search(list.size <= few || narrow(first != nullptr ? *first : bell()));
  }

  /// The same of a list that weighs its size and has nothing below the first of three pivots.
  float find_above(WeighedList list, double target, const Pivots& pivots) {
    begin(list, target, static_cast<std::uint64_t>(list.size));
    return search(list.size <= few || enter(pivots));
  }

  /// Three values of which about `low` and about `high` values of a list lie from the first and
  /// from the last up, to within `slack`; one by one where counting does not get there soon.
  ///
  /// shapes  list [a multiple of 16], unweighed; 1 <= high <= low < size
  Pivots near(const WeighedList& list, double low, double high, double slack) {
    const auto size = static_cast<double>(list.size);
    const Moments m = kernel_->moments(list.values, list.size);
    const auto reached_by = [&](double rank) {
      return m.mean + m.deviation * normal_quantile(static_cast<float>(1.0 - rank / size));
    };
    float first = reached_by(low), last = reached_by(high);
    for (int sweep = 0; sweep < 4 && first < last && std::isfinite(last - first); ++sweep) {
      const Pivots pivots{first, first + 0.5F * (last - first), last};
      std::uint64_t counts[3] = {};
      kernel_->weigh(list, pivots, counts);
      const double too_low = static_cast<double>(counts[0]) - low;
      const double too_high = static_cast<double>(counts[2]) - high;
      if (std::fabs(too_low) <= slack && std::fabs(too_high) <= slack) return pivots;
      if (counts[0] == counts[2]) break;
      const float width = (last - first) / static_cast<float>(counts[0] - counts[2]);
      first += static_cast<float>(too_low) * width;
      last += static_cast<float>(too_high) * width;
    }
    first = find(list, low, static_cast<std::uint64_t>(list.size));
    last = find(list, high, static_cast<std::uint64_t>(list.size));
    return {first, first > lowest ? first + 0.5F * (last - first) : first, last};
  }

 private:
  static constexpr std::int64_t few = 16;
  static constexpr float lowest = -std::numeric_limits<float>::infinity();

  void begin(WeighedList list, double target, std::uint64_t weight) {
    list_ = list;
    target_ = target;
    weight_ = weight;
    above_ = 0;
  }

  /// Finds the threshold in what is left; `halved`: whether the last sweep halved it.
  float search(bool halved) {
    while (list_.size > few) {
      if (halved && std::isfinite(low_) && std::isfinite(high_)) {
        halved = narrow(line());
        continue;
      }
      kernel_->range(list_.values, list_.size, &low_, &high_);
      if (low_ > high_) return lowest;
      if (low_ == high_) {
        narrow({low_, low_, low_});
        return low_;
      }
      halved = narrow(halved ? line() : quarters());
    }
    return last_few();
  }

  /// The first sweep where nothing lies below the pivots: keeps what is between the outer ones if
  /// that holds the threshold. The rest then lies above, so nothing need be weighed.
  bool enter(const Pivots& pivots) {
    const WeighedList all = list_;
    low_ = pivots[0];
    high_ = pivots[2];
    pack();
    above_ = static_cast<std::uint64_t>(all.size - list_.size);
    weight_ = static_cast<std::uint64_t>(list_.size);
    if (static_cast<double>(above_) < target_) return 2 * list_.size <= all.size;
    list_ = all;
    weight_ += std::exchange(above_, 0);
    return narrow(pivots);
  }

  /// Packs what lies between low_ and high_.
  void pack() {
    values_.resize(std::max(values_.size(), static_cast<std::size_t>(list_.size) + 16));
    if (list_.masses != nullptr) masses_.resize(values_.size());
    list_.size = kernel_->pack_between(list_, low_, high_, values_.data(), masses_.data());
    list_.values = values_.data();
    if (list_.masses != nullptr) list_.masses = masses_.data();
  }

  /// Keeps the part of the list between two pivots that holds the threshold; true if that is no
  /// more than half.
  bool narrow(const Pivots& pivots) {
    std::uint64_t sums[3] = {};
    kernel_->weigh(list_, pivots, sums);
    const auto reached = [&](std::size_t p) {
      return !(static_cast<double>(above_ + sums[p]) < target_);
    };
    std::size_t parts_below = 3;  // how many pivots reach the target
    while (parts_below > 0 && !reached(parts_below - 1)) --parts_below;
    low_ = parts_below > 0 ? pivots[parts_below - 1] : lowest;
    high_ = parts_below < 3 ? pivots[parts_below] : -lowest;
    const std::uint64_t over = parts_below < 3 ? sums[parts_below] : 0;
    weight_ = (parts_below > 0 ? sums[parts_below - 1] : weight_) - over;
    above_ += over;
    const std::int64_t before = list_.size;
    pack();
    return 2 * list_.size <= before;
  }

  /// Takes what is left from the top until it reaches the target.
  float last_few() {
    std::array<float, few> values{};
    std::array<std::uint64_t, few> weights{};
    auto left = static_cast<std::size_t>(list_.size);
    std::copy_n(list_.values, left, values.begin());
    for (std::size_t i = 0; i < left; ++i)
      weights[i] = list_.masses == nullptr ? 1 : list_.masses[i];
    for (std::uint64_t reached = above_; left > 0; --left) {
      const auto top = std::max_element(values.begin(), values.begin() + left) - values.begin();
      const auto at = static_cast<std::size_t>(top);
      reached += weights[at];
      if (!(static_cast<double>(reached) < target_)) return values[at];
      values[at] = values[left - 1];
      weights[at] = weights[left - 1];
    }
    return lowest;
  }

  /// The share of the weight that lies above the threshold.
  [[nodiscard]] double share() const {
    return (target_ - static_cast<double>(above_)) / static_cast<double>(weight_);
  }

  /// Around where the threshold of normally distributed values would lie.
  [[nodiscard]] Pivots bell() const {
    const Moments m = kernel_->moments(list_.values, list_.size);
    const auto below = static_cast<float>(std::clamp(1.0 - share(), 1e-6, 1.0 - 1e-6));
    const float middle = m.mean + m.deviation * normal_quantile(below);
    const float reach = 0.15F * m.deviation;
    return {middle - reach, middle, middle + reach};
  }

  /// Around where a straight line from the low end to the high end reaches the target.
  [[nodiscard]] Pivots line() const {
    const double length = double{high_} - double{low_};
    const double middle = double{high_} - share() * length;
    const double reach = length * (0.04 + 0.5 / std::sqrt(static_cast<double>(list_.size)));
    const auto inside = [&](double x) { return std::clamp(static_cast<float>(x), low_, high_); };
    return {inside(middle - reach), inside(middle), inside(middle + reach)};
  }

  /// Floats as integers of the same order; -0 and 0 are both 0.
  static std::int64_t key_of(float x) {
    const auto bits = std::bit_cast<std::int32_t>(x);
    return bits >= 0 ? std::int64_t{bits} : -std::int64_t{bits & 0x7FFFFFFF};
  }
  static float of_key(std::int64_t key) {
    const auto magnitude = std::bit_cast<float>(static_cast<std::int32_t>(key < 0 ? -key : key));
    return key < 0 ? -magnitude : magnitude;
  }

  /// Three values that cut the floats from low to high in quarters; the last one always parts the
  /// two.
  [[nodiscard]] Pivots quarters() const {
    const std::int64_t first = key_of(low_), length = key_of(high_) - first;
    return {of_key(first + length / 4), of_key(first + length / 2),
            of_key(first + (3 * length + 3) / 4)};
  }

  const KernelTable* kernel_;
  WeighedList list_;  // what is left
  double target_ = 0.0;
  std::uint64_t weight_ = 0;           // of what is left
  float low_ = 0.0F;                   // what is left lies from here
  float high_ = 0.0F;                  // up to here
  std::uint64_t above_ = 0;            // weight of what lies over it
  std::vector<float> values_;          // [list], room for what a kernel writes behind it
  std::vector<std::uint32_t> masses_;  // [list], likewise; empty where weights are counts
};

}  // namespace sjd::cpu
