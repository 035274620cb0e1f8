// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

namespace sjd::bench {

/// One line of a chart.
struct Curve {
  std::string name;
  std::vector<double> y;  ///< one for each x of the chart
};

/// What a chart shows; x > 0 is spaced by its logarithm, both axes carry their numbers.
struct Chart {
  std::string title;
  std::string x_title;
  std::string y_title;
  std::vector<double> x;
  std::vector<Curve> curves;
};

/// The chart as an SVG document; y starts at 0.
[[nodiscard]] std::string svg_of(const Chart& chart);

}  // namespace sjd::bench
