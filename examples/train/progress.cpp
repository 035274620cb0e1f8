// SPDX-License-Identifier: Apache-2.0
#include "progress.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "picture_io.hpp"

namespace sjd::train {

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
    for (const auto& [name, value] : json.at("nats").items()) {
      curves_[name].push_back(value.get<double>());
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
    curves_[name].push_back(value);
  }
  std::printf("\n");
  std::fflush(stdout);
  std::ofstream{folder_ / "log.jsonl", std::ios::app} << line.dump() << "\n";
  draw();
}

void Progress::draw() const {
  std::vector<std::vector<double>> series;
  for (const auto& [name, values] : curves_) {
    // The first minutes fall from ln(vocabulary) and would flatten everything after them.
    const auto skip = static_cast<std::ptrdiff_t>(std::min<std::size_t>(3, values.size() / 4));
    series.emplace_back(values.begin() + skip, values.end());
  }
  if (!series.empty() && series[0].size() >= 2) {
    write_png(folder_ / "curves.png", line_chart(series));
  }
}

}  // namespace sjd::train
