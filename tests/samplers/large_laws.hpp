// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "sjd/core/sampling.hpp"
#include "support/e_process.hpp"
#include "support/table_law.hpp"

namespace sjd::test {

/// Shapes at which samplers are known to break.
enum class Shape : std::uint8_t { flat, zipf, gumbel, one_hot, half_tail, ties, masked };

inline constexpr std::array all_shapes{Shape::flat,      Shape::zipf, Shape::gumbel, Shape::one_hot,
                                       Shape::half_tail, Shape::ties, Shape::masked};

inline std::string name_of(Shape shape) {
  constexpr std::array names{"flat",           "Zipf", "Gumbel", "one-hot",
                             "half-mass tail", "ties", "masked"};
  return names[static_cast<std::size_t>(shape)];
}

/// Logits [vocab] of a shape; which token gets which is arbitrary.
inline std::vector<float> logits_of(Shape shape, std::size_t vocab, std::uint64_t seed) {
  std::vector<float> logits(vocab, 0.0F);
  const std::size_t favourite = mix(seed) % vocab;
  for (std::size_t v = 0; v < vocab; ++v) {
    const std::uint64_t h = mix(mix(seed + 9) ^ v);
    const double unit = (static_cast<double>(h >> 12) + 0.5) / 4503599627370496.0;
    if (shape == Shape::zipf) {
      logits[v] = static_cast<float>(-std::log(1.0 + static_cast<double>((v + favourite) % vocab)));
    } else if (shape == Shape::gumbel) {
      logits[v] = static_cast<float>(-std::log(-std::log(unit)));
    } else if (shape == Shape::one_hot) {
      logits[v] = -40.0F;
    } else if (shape == Shape::ties) {
      logits[v] = static_cast<float>(h % 4);
    } else if (shape == Shape::masked) {
      logits[v] = h % 100 == 0 ? static_cast<float>(unit) : -std::numeric_limits<float>::infinity();
    }
  }
  if (shape == Shape::one_hot || shape == Shape::masked) logits[favourite] = 1.0F;
  if (shape == Shape::half_tail) {
    logits[favourite] = static_cast<float>(std::log(static_cast<double>(vocab)));
  }
  return logits;
}

/// What a filtered row of logits means, in double precision and without the library.
struct Oracle {
  std::vector<std::size_t> ranked;  ///< tokens that are allowed, by logit descending, id ascending
  std::vector<double> law;          ///< [vocab], 0 for tokens that are not allowed
};

/// `forbidden` is a token that the grammar takes away, or -1.
inline Oracle oracle_of(std::vector<float> logits, const SamplingOptions& options,
                        std::int64_t forbidden) {
  if (forbidden >= 0) {
    logits[static_cast<std::size_t>(forbidden)] = -std::numeric_limits<float>::infinity();
  }
  Oracle oracle;
  for (std::size_t v = 0; v < logits.size(); ++v) {
    if (logits[v] > -std::numeric_limits<float>::infinity()) oracle.ranked.push_back(v);
  }
  std::stable_sort(oracle.ranked.begin(), oracle.ranked.end(),
                   [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  if (options.top_k > 0 && oracle.ranked.size() > static_cast<std::size_t>(options.top_k)) {
    oracle.ranked.resize(static_cast<std::size_t>(options.top_k));
  }
  const double top = logits[oracle.ranked.front()];
  const auto weight = [&](std::size_t v) {
    return std::exp((double{logits[v]} - top) / double{options.temperature});
  };
  double total = 0.0;
  for (const std::size_t v : oracle.ranked) total += weight(v);
  double reached = 0.0;
  std::size_t kept = 0;
  while (kept < oracle.ranked.size() &&
         (kept == 0 || options.top_p >= 1.0F || reached < double{options.top_p} * total)) {
    reached += weight(oracle.ranked[kept++]);
  }
  oracle.ranked.resize(kept);
  oracle.law.resize(logits.size(), 0.0);
  for (const std::size_t v : oracle.ranked) oracle.law[v] = weight(v) / reached;
  return oracle;
}

/// Cells of an e-process over a large vocabulary: the 63 likeliest tokens, one each, and 64 bins
/// that share the others arbitrarily.
class Binning {
 public:
  static constexpr std::size_t alone = 63;
  static constexpr std::size_t bins = 64;

  Binning(const Oracle& oracle, std::uint64_t seed) : cells_(oracle.law.size()) {
    for (std::size_t v = 0; v < cells_.size(); ++v) cells_[v] = alone + mix(seed ^ mix(v)) % bins;
    for (std::size_t i = 0; i < std::min(alone, oracle.ranked.size()); ++i) {
      cells_[oracle.ranked[i]] = i;
    }
    law_.resize(alone + bins, 0.0);
    for (std::size_t v = 0; v < cells_.size(); ++v) law_[cells_[v]] += oracle.law[v];
  }

  [[nodiscard]] std::size_t cell(TokenId token) const {
    return cells_.at(static_cast<std::size_t>(token));
  }
  [[nodiscard]] EProcess process() const { return EProcess{law_}; }

 private:
  std::vector<std::size_t> cells_;  // [vocab]
  std::vector<double> law_;         // [alone + bins]
};

}  // namespace sjd::test
