// SPDX-License-Identifier: Apache-2.0
#include "chart.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "chart_font.hpp"

namespace sjd::train {
namespace {

constexpr Colour black{0, 0, 0};
constexpr Colour grid_grey{224, 224, 224};
constexpr std::array<Colour, 6> curve_colours{
    {{31, 119, 180}, {214, 39, 40}, {44, 160, 44}, {0, 0, 0}, {148, 103, 189}, {255, 127, 14}}};
constexpr std::int64_t text_scale = 2;  // pixels a dot of the font
constexpr int ticks_x = 8;              // about so many
constexpr int ticks_y = 6;
constexpr std::int64_t text_width = 6 * text_scale;
constexpr std::int64_t text_height = font_rows * text_scale;

void fill(Picture& inout_picture, std::int64_t top, std::int64_t left, std::int64_t height,
          std::int64_t width, Colour colour) {
  for (std::int64_t row = std::max<std::int64_t>(top, 0);
       row < std::min(top + height, inout_picture.height); ++row) {
    for (std::int64_t column = std::max<std::int64_t>(left, 0);
         column < std::min(left + width, inout_picture.width); ++column) {
      const auto at = static_cast<std::ptrdiff_t>((row * inout_picture.width + column) * 3);
      std::copy(colour.begin(), colour.end(), inout_picture.pixels.begin() + at);
    }
  }
}

/// One axis: the values that it spans and the pixels that they fall on.
struct Axis {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  double first_pixel = 0.0;  ///< of `low`
  double last_pixel = 0.0;   ///< of `high`

  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void settle() {
    if (!(high >= low)) low = high = 0.0;
    if (high == low) high = low + 1.0;
  }
  [[nodiscard]] std::int64_t pixel(double value) const {
    return std::llround(first_pixel + (value - low) / (high - low) * (last_pixel - first_pixel));
  }
  /// 1, 2 or 5 times a power of ten, about `count` of them on the axis.
  [[nodiscard]] double tick(int count) const {
    const double wanted = (high - low) / count;
    const double power = std::pow(10.0, std::floor(std::log10(wanted)));
    const double digit = wanted / power;
    return power * (digit < 1.5 ? 1.0 : digit < 3.5 ? 2.0 : digit < 7.5 ? 5.0 : 10.0);
  }
};

std::string tick_text(double value, double tick) {
  const int digits = std::max(0, static_cast<int>(std::ceil(-std::log10(tick) - 1e-9)));
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::int64_t text_length(std::string_view text) {
  return static_cast<std::int64_t>(text.size()) * text_width;
}

/// Grid lines and numbers of both axes, and the frame.
void draw_axes(Picture& inout_chart, const Axis& x, const Axis& y, const AxisTitles& titles) {
  const auto left = std::llround(x.first_pixel), right = std::llround(x.last_pixel);
  const auto bottom = std::llround(y.first_pixel), top = std::llround(y.last_pixel);
  const double step_x = x.tick(ticks_x), step_y = y.tick(ticks_y);
  for (double value = std::ceil(x.low / step_x) * step_x; value <= x.high; value += step_x) {
    const std::string text = tick_text(value, step_x);
    fill(inout_chart, top, x.pixel(value), bottom - top, 1, grid_grey);
    write_text(inout_chart, text, bottom + 6, x.pixel(value) - text_length(text) / 2, black);
  }
  for (double value = std::ceil(y.low / step_y) * step_y; value <= y.high; value += step_y) {
    const std::string text = tick_text(value, step_y);
    fill(inout_chart, y.pixel(value), left, 1, right - left, grid_grey);
    write_text(inout_chart, text, y.pixel(value) - 7, left - 6 - text_length(text), black);
  }
  fill(inout_chart, top, left, bottom - top, 1, black);
  fill(inout_chart, bottom, left, 1, right - left, black);
  write_text(inout_chart, titles.y, 6, 6, black);
  write_text(inout_chart, titles.x, inout_chart.height - text_height, right - text_length(titles.x),
             black);
}

void draw_curve(Picture& inout_chart, const Axis& x, const Axis& y, const Curve& curve,
                Colour colour) {
  for (std::size_t i = 1; i < curve.points.size(); ++i) {
    const auto [from, to] = std::pair{curve.points[i - 1], curve.points[i]};
    const std::int64_t x0 = x.pixel(from.x), y0 = y.pixel(from.y);
    const std::int64_t dx = x.pixel(to.x) - x0, dy = y.pixel(to.y) - y0;
    const std::int64_t dots = std::max({std::abs(dx), std::abs(dy), std::int64_t{1}});
    for (std::int64_t dot = 0; dot <= dots; ++dot) {
      fill(inout_chart, y0 + dy * dot / dots, x0 + dx * dot / dots, 2, 2, colour);
    }
  }
}

/// Names behind a stroke of their colour, in a line above the plot.
void draw_legend(Picture& inout_chart, std::int64_t left, std::int64_t top,
                 std::span<const Curve> curves) {
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const Colour colour = curve_colours[i % curve_colours.size()];
    fill(inout_chart, top + 6, left, 3, 20, colour);
    write_text(inout_chart, curves[i].name, top, left + 26, black);
    left += 26 + text_length(curves[i].name) + 2 * text_width;
  }
}

}  // namespace

void write_text(Picture& inout_picture, std::string_view text, std::int64_t top, std::int64_t left,
                Colour colour) {
  for (const char letter : text) {
    const Glyph* glyph = find_glyph(letter);
    for (std::int64_t row = 0; glyph != nullptr && row < font_rows; ++row) {
      for (std::int64_t column = 0; column < font_columns; ++column) {
        if (glyph->rows[static_cast<std::size_t>(row * (font_columns + 1) + column)] != '#') {
          continue;
        }
        fill(inout_picture, top + row * text_scale, left + column * text_scale, text_scale,
             text_scale, colour);
      }
    }
    left += text_width;
  }
}

Picture line_chart(std::span<const Curve> curves, const AxisTitles& titles, std::int64_t height,
                   std::int64_t width) {
  Axis x{.last_pixel = static_cast<double>(width) - 20.0};
  Axis y{.first_pixel = static_cast<double>(height) - 48.0, .last_pixel = 60.0};
  for (const Curve& curve : curves) {
    for (const ChartPoint& point : curve.points) {
      x.include(point.x);
      y.include(point.y);
    }
  }
  x.settle();
  y.settle();
  const std::int64_t widest = std::max(text_length(tick_text(y.low, y.tick(ticks_y))),
                                       text_length(tick_text(y.high, y.tick(ticks_y))));
  x.first_pixel = static_cast<double>(widest + 14);
  Picture chart = blank_picture(height, width);
  draw_axes(chart, x, y, titles);
  draw_legend(chart, std::llround(x.first_pixel), 30, curves);
  for (std::size_t i = 0; i < curves.size(); ++i) {
    draw_curve(chart, x, y, curves[i], curve_colours[i % curve_colours.size()]);
  }
  return chart;
}

}  // namespace sjd::train
