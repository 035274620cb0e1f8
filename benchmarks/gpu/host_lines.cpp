// SPDX-License-Identifier: Apache-2.0
#include "host_lines.hpp"

#include <cstddef>
#include <stdexcept>

#include "gpu_summary.hpp"

namespace sjd::bench {
namespace {

void check_rounds(const std::vector<double>& first, const std::vector<double>& times) {
  if (first.empty() || times.size() != first.size()) {
    throw std::invalid_argument("times of the hosts: not as many rounds as AR has");
  }
}

/// scale a / b, round by round: neighbours in time met the same clocks.
std::vector<double> ratios(const std::vector<double>& a, const std::vector<double>& b,
                           double scale = 1.0) {
  check_rounds(a, b);
  std::vector<double> all;
  for (std::size_t r = 0; r < a.size(); ++r) all.push_back(scale * a[r] / b[r]);
  return all;
}

GpuLine line_of(const std::string& shape, const std::string& unit) {
  return {.id = "G6", .shape = shape, .who = "sjd", .unit = unit};
}

}  // namespace

std::vector<GpuLine> pass_lines(const HostShape& shape, std::span<const PassTimes> passes) {
  if (passes.empty() || passes[0].window != 1) {
    throw std::invalid_argument("times of the hosts: the first window is not AR's");
  }
  const std::string behind = std::to_string(shape.context) + " tokens of context";
  std::vector<GpuLine> whole;
  std::vector<GpuLine> over;
  std::vector<GpuLine> share;
  for (const PassTimes& pass : passes) {
    check_rounds(passes[0].whole, pass.whole);
    const bool is_ar = pass.window == 1;
    const std::string name =
        shape.name + ", " + (is_ar ? "AR" : "W " + std::to_string(pass.window));
    GpuLine line = line_of(name, "us");
    line.least = shape.least;
    line.note = "pass and step, random weights, " + behind;
    whole.push_back(summed_up(line, pass.whole));
    line = line_of(name + ", step", "%");
    if (pass.window == 80) line.target = shape.step_target;
    share.push_back(summed_up(line, ratios(pass.step, pass.whole, 100.0)));
    if (is_ar) continue;
    line = line_of(name + " over AR", "x");
    if (pass.window == 80) line.target = shape.ratio_target;
    over.push_back(summed_up(line, ratios(pass.whole, passes[0].whole)));
  }
  whole.insert(whole.end(), over.begin(), over.end());
  whole.insert(whole.end(), share.begin(), share.end());
  return whole;
}

std::vector<GpuLine> picture_lines(const std::string& group,
                                   std::span<const PictureTimes> pictures) {
  std::vector<GpuLine> lines;
  for (const PictureTimes& picture : pictures) {
    check_rounds(pictures[0].milliseconds, picture.milliseconds);
    const std::string name = group + ", " + picture.name;
    lines.push_back(summed_up(line_of(name, "ms"), picture.milliseconds));
    GpuLine tokens = line_of(name + ", a pass", "tokens");
    tokens.median = picture.tokens_per_pass;
    lines.push_back(tokens);
    if (&picture == &pictures[0]) continue;
    GpuLine gain = line_of(name + ", x AR", "x");
    gain.note = "times as fast as AR on the same loop";
    lines.push_back(summed_up(gain, ratios(pictures[0].milliseconds, picture.milliseconds)));
  }
  return lines;
}

}  // namespace sjd::bench
