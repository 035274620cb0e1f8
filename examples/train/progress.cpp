// SPDX-License-Identifier: Apache-2.0
#include "progress.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data_options.hpp"
#include "picture_io.hpp"

namespace sjd::train {
namespace {

/// A run that went on from an older checkpoint takes the place of what had been trained behind it.
void append(std::vector<ChartPoint>& inout_points, ChartPoint point) {
  while (!inout_points.empty() && inout_points.back().x >= point.x) inout_points.pop_back();
  inout_points.push_back(point);
}

}  // namespace

std::string clock_text(double seconds) {
  const auto whole = static_cast<long>(std::max(seconds, 0.0));
  char text[32];
  std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

Progress::Progress(const std::filesystem::path& folder) : folder_{folder} {
  std::ifstream log{folder_ / "log.jsonl"};
  for (std::string line; std::getline(log, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) continue;  // a line cut short by a crash
    const double minutes = json.at("seconds").get<double>() / 60.0;
    for (const auto& [name, value] : json.at("nats").items()) {
      append(curves_[name], {minutes, value.get<double>()});
    }
  }
}

void Progress::report(const TrainerState& state, double tokens_per_second,
                      const Measures& measures) {
  const double left =
      state.fraction > 0.0 ? state.seconds * (1.0 - state.fraction) / state.fraction : 0.0;
  std::printf("step %6lld  %s trained, %s left  %6.0f tokens/s  rate %.2e",
              static_cast<long long>(state.step), clock_text(state.seconds).c_str(),
              clock_text(left).c_str(), tokens_per_second, state.rate);
  nlohmann::ordered_json line{{"step", state.step},
                              {"seconds", state.seconds},
                              {"fraction", state.fraction},
                              {"rate", state.rate},
                              {"tokens_per_second", tokens_per_second},
                              {"nats", nlohmann::ordered_json::object()}};
  for (const auto& [name, value] : measures) {
    std::printf("  %s %.4f", name.c_str(), value);
    line["nats"][name] = value;
    append(curves_[name], {state.seconds / 60.0, value});
  }
  std::printf("\n");
  std::fflush(stdout);
  std::ofstream{folder_ / "log.jsonl", std::ios::app} << line.dump() << "\n";
  draw(folder_ / "curves.png");
}

void Progress::draw(const std::filesystem::path& path) const {
  std::vector<Curve> curves;
  for (const auto& [name, points] : curves_) {
    // The first minutes fall from ln(vocabulary) and would flatten everything after them.
    const auto skip = static_cast<std::ptrdiff_t>(std::min<std::size_t>(3, points.size() / 4));
    curves.push_back({name, {points.begin() + skip, points.end()}});
  }
  if (!curves.empty() && curves[0].points.size() >= 2) {
    write_png(path, line_chart(curves, {"minutes trained", "nats per token"}));
  }
}

int run_curves(std::span<char* const> args) {
  const StageOptions options{args, {{"run", ""}, {"output", ""}}};
  const std::filesystem::path folder = options.text("run");
  if (!std::filesystem::exists(folder / "log.jsonl")) {
    throw std::runtime_error((folder / "log.jsonl").string() + ": there is no such log");
  }
  Progress{folder}.draw(options.text("output"));
  return 0;
}

}  // namespace sjd::train
