// SPDX-License-Identifier: Apache-2.0
#include "svg_chart.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace sjd::bench {
namespace {

constexpr double width = 720, height = 400;
constexpr double left = 70, right = 20, top = 40, bottom = 55;

/// The round number not below `value`: 1, 2 or 5 times a power of ten.
double round_up(double value) {
  const double power = std::pow(10.0, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (step * power >= value) return step * power;
  }
  return 10.0 * power;
}

std::string text(double x, double y, const char* anchor, const std::string& words) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     words);
}

std::string line(double x1, double y1, double x2, double y2, const char* colour) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", x1, y1, x2,
      y2, colour);
}

/// Where the values of a chart lie on the picture.
struct Axes {
  double first = 0.0, last = 0.0;  // logarithms of x
  double step = 1.0, ceiling = 1.0;

  explicit Axes(const Chart& chart)
      : first{std::log(chart.x.front())}, last{std::log(chart.x.back())} {
    double most = 0.0;
    for (const Curve& curve : chart.curves) {
      most = std::max(most, *std::max_element(curve.y.begin(), curve.y.end()));
    }
    step = round_up(most / 5.0);
    ceiling = step * std::ceil(most / step);
  }

  [[nodiscard]] double across(double x) const {
    const double share = last > first ? (std::log(x) - first) / (last - first) : 0.5;
    return left + share * (width - left - right);
  }
  [[nodiscard]] double up(double y) const {
    return height - bottom - y / ceiling * (height - top - bottom);
  }
};

/// The numbers beside both axes, and the lines of y.
std::string grid(const Chart& chart, const Axes& axes) {
  std::string svg;
  for (double y = 0.0; y <= axes.ceiling * 1.001; y += axes.step) {
    svg += line(left, axes.up(y), width - right, axes.up(y), "#ddd");
    svg += text(left - 6, axes.up(y) + 4, "end", fmt::format("{:g}", y));
  }
  for (const double x : chart.x) {
    const double place = axes.across(x);
    svg += line(place, height - bottom, place, height - bottom + 4, "black");
    svg += text(place, height - bottom + 18, "middle", fmt::format("{:g}", x));
  }
  return svg;
}

/// Curve number `index` and its line of the legend.
std::string curve_of(const Chart& chart, const Axes& axes, std::size_t index) {
  constexpr std::array colours{"#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#b8860b"};
  const Curve& curve = chart.curves[index];
  const char* colour = colours[index % colours.size()];
  std::string points;
  for (std::size_t i = 0; i < chart.x.size(); ++i) {
    points += fmt::format("{:.1f},{:.1f} ", axes.across(chart.x[i]), axes.up(curve.y[i]));
  }
  const double y = top + 10 + 18 * static_cast<double>(index);
  return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n",
                     points, colour) +
         line(left + 10, y - 4, left + 34, y - 4, colour) + text(left + 40, y, "start", curve.name);
}

}  // namespace

std::string svg_of(const Chart& chart) {
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      width, height);
  svg += text(width / 2, 20, "middle", chart.title);
  svg += text(width / 2, height - 12, "middle", chart.x_title);
  svg += text(8, 34, "start", chart.y_title);
  const Axes axes{chart};
  svg += grid(chart, axes);
  for (std::size_t c = 0; c < chart.curves.size(); ++c) svg += curve_of(chart, axes, c);
  return svg + "</svg>\n";
}

}  // namespace sjd::bench
