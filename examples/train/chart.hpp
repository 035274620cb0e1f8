// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "picture_io.hpp"

namespace sjd::train {

/// One point of a curve.
struct ChartPoint {
  double x = 0.0;
  double y = 0.0;
};

/// One line of a chart and what the legend calls it.
struct Curve {
  std::string name;
  std::vector<ChartPoint> points;  // x ascending
};

/// What stands beside the axes: quantity and unit.
struct AxisTitles {
  std::string x;
  std::string y;
};

/// Lines over common axes, with ticks, grid, axis titles and a legend.
///
/// edge  curves of less than two points are left out; without any curve only the frame is drawn
[[nodiscard]] Picture line_chart(std::span<const Curve> curves, const AxisTitles& titles,
                                 std::int64_t height = 460, std::int64_t width = 800);

using Colour = std::array<std::uint8_t, 3>;

/// Writes lower-case letters, digits and `. , - + ( ) _ / %`; anything else leaves a gap. A
/// character is 12 pixels wide and 18 high.
void write_text(Picture& inout_picture, std::string_view text, std::int64_t top, std::int64_t left,
                Colour colour);

}  // namespace sjd::train
