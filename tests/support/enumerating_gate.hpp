// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <vector>

#include "sjd/core/random.hpp"

namespace sjd::test {

/// A rational number in [0, 1]; both parts stay below 2^63, so products are exact.
struct Fraction {
  std::uint64_t part = 0;
  std::uint64_t whole = 1;

  friend bool operator<(Fraction a, Fraction b) {
    return uint128{a.part} * b.whole < uint128{b.part} * a.whole;
  }
  friend bool operator==(const Fraction&, const Fraction&) = default;
};

/// b - a for a <= b, with the only rounding in the last division.
inline long double distance(Fraction a, Fraction b) {
  const uint128 part = uint128{b.part} * a.whole - uint128{a.part} * b.whole;
  return static_cast<long double>(part) /
         (static_cast<long double>(a.whole) * static_cast<long double>(b.whole));
}

/// What is known of the uniform that all draws of one position share.
struct Interval {
  Fraction low{0, 1};
  Fraction high{1, 1};

  friend bool operator==(const Interval&, const Interval&) = default;
};

/// Walks depth-first through every outcome of a computation that draws from an EnumeratingGate.
///
///     Enumeration all;
///     do { all.restart(); ...; use(all.weight()); } while (all.advance());
class Enumeration {
 public:
  /// Begins one run: the outcomes chosen so far are replayed, then every first one is taken.
  void restart() {
    depth_ = 0;
    weight_ = 1.0L;
  }

  /// Steps to the next unseen outcome; false when all were seen.
  bool advance() {
    while (!path_.empty() && path_.back().chosen + 1 == path_.back().options) path_.pop_back();
    if (path_.empty()) return false;
    path_.back().chosen += 1;
    return true;
  }

  /// Probability of the outcomes of this run.
  [[nodiscard]] long double weight() const { return weight_; }

  /// Takes one of the outcomes with the given probabilities, all of them > 0.
  std::size_t choose(std::span<const long double> probabilities) {
    if (probabilities.empty()) throw std::logic_error{"a draw without outcomes"};
    if (depth_ == path_.size()) path_.push_back({0, probabilities.size()});
    const Choice& choice = path_[depth_++];
    if (choice.options != probabilities.size()) throw std::logic_error{"a replay went astray"};
    weight_ *= probabilities[choice.chosen];
    return choice.chosen;
  }

  std::map<Position, Interval> shared;  ///< the uniform of every position, as far as it is known

 private:
  struct Choice {
    std::size_t chosen = 0;
    std::size_t options = 0;
  };
  std::vector<Choice> path_;
  std::size_t depth_ = 0;
  long double weight_ = 1.0L;
};

/// A random gate whose draws have every outcome, one a run, with its exact probability. Gaussian
/// draws are two-point: -1 or 1.
class EnumeratingGate {
 public:
  explicit EnumeratingGate(Enumeration& all) : all_{&all} {}

  [[nodiscard]] bool bernoulli(DrawKey, uint128 part, uint128 whole) const {
    if (part >= whole) return true;
    if (part == 0) return false;
    const long double yes = static_cast<long double>(part) / static_cast<long double>(whole);
    const long double outcomes[] = {yes, static_cast<long double>(whole - part) /
                                             static_cast<long double>(whole)};
    return all_->choose(outcomes) == 0;
  }

  [[nodiscard]] TokenId categorical(DrawKey, const TokenLaw& law) const {
    std::vector<long double> outcomes;
    for (std::int64_t i = 0; i < law.size(); ++i) {
      outcomes.push_back(static_cast<long double>(law.mass_at(i)) /
                         static_cast<long double>(law.sum()));
    }
    return law.token(static_cast<std::int64_t>(all_->choose(outcomes)));
  }

  [[nodiscard]] std::int64_t weighted(DrawKey, std::span<const uint128> weights) const {
    long double total = 0.0L;
    for (const uint128 w : weights) total += static_cast<long double>(w);
    std::vector<long double> outcomes;
    std::vector<std::int64_t> index;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] == 0) continue;
      outcomes.push_back(static_cast<long double>(weights[i]) / total);
      index.push_back(static_cast<std::int64_t>(i));
    }
    return index[all_->choose(outcomes)];
  }

  void gaussian(DrawKey, std::span<float> values) const {
    constexpr long double coin[] = {0.5L, 0.5L};
    for (float& value : values) value = all_->choose(coin) == 0 ? -1.0F : 1.0F;
  }

  /// Splits what is known of the position's uniform at the cut points of the law's CDF.
  [[nodiscard]] TokenId quantile(Position position, const TokenLaw& law) const {
    Interval& known = all_->shared[position];
    std::vector<long double> outcomes;
    std::vector<Interval> parts;
    std::vector<TokenId> tokens;
    std::uint64_t reached = 0;
    for (std::int64_t i = 0; i < law.size(); ++i) {
      Interval part{{reached, law.sum()}, {reached + law.mass_at(i), law.sum()}};
      reached += law.mass_at(i);
      if (part.low < known.low) part.low = known.low;
      if (known.high < part.high) part.high = known.high;
      if (!(part.low < part.high)) continue;
      outcomes.push_back(distance(part.low, part.high) / distance(known.low, known.high));
      parts.push_back(part);
      tokens.push_back(law.token(i));
    }
    const std::size_t chosen = all_->choose(outcomes);
    known = parts[chosen];
    return tokens[chosen];
  }

 private:
  Enumeration* all_;
};

/// Hands the gate to a denoiser.
struct EnumeratingRandom {
  using role = role::random;

  Enumeration* all = nullptr;

  [[nodiscard]] EnumeratingGate gate(std::uint64_t, std::uint64_t) const {
    return EnumeratingGate{*all};
  }
};

}  // namespace sjd::test
