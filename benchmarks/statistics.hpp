// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

namespace sjd::bench {

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

/// The p-quantile with linear interpolation; NaN of nothing.
[[nodiscard]] double quantile(std::vector<double> values, double p);

[[nodiscard]] double median(std::span<const double> values);

[[nodiscard]] double mean(std::span<const double> values);

/// Percentile bootstrap 95 % interval of sum(numerators) / sum(denominators), resampling the pairs;
/// the same resamples on every machine.
///
/// source  Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13
[[nodiscard]] Interval ratio_interval(std::span<const double> numerators,
                                      std::span<const double> denominators);

}  // namespace sjd::bench
