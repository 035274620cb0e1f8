// SPDX-License-Identifier: Apache-2.0
#include "statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <random>

namespace sjd::bench {

double quantile(std::vector<double> values, double p) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const double place = p * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(place));
  const std::size_t above = std::min(below + 1, values.size() - 1);
  const double share = place - static_cast<double>(below);
  return values[below] + share * (values[above] - values[below]);
}

double median(std::span<const double> values) {
  return quantile({values.begin(), values.end()}, 0.5);
}

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

Interval ratio_interval(std::span<const double> numerators, std::span<const double> denominators) {
  constexpr int resamples = 4000;
  std::mt19937_64 random{20'250'101};
  std::vector<double> ratios;
  for (int r = 0; r < resamples; ++r) {
    double top = 0.0;
    double bottom = 0.0;
    for (std::size_t i = 0; i < numerators.size(); ++i) {
      const std::size_t pick = random() % numerators.size();
      top += numerators[pick];
      bottom += denominators[pick];
    }
    ratios.push_back(top / bottom);
  }
  return {quantile(ratios, 0.025), quantile(ratios, 0.975)};
}

}  // namespace sjd::bench
