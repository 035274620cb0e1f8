// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "../machine.hpp"
#include "../statistics.hpp"

namespace sjd::bench {
namespace {

bool met(const Line& line) {
  const double value = median(line.samples);
  return line.target.sense == Target::Sense::at_most ? value <= line.target.value
                                                     : value >= line.target.value;
}

std::string target_text(const Line& line) {
  if (line.target.sense == Target::Sense::none) return "";
  const char* sign = line.target.sense == Target::Sense::at_most ? "<=" : ">=";
  return fmt::format("{} {:.4g}  {}", sign, line.target.value, met(line) ? "met" : "MISSED");
}

}  // namespace

Report::Report(int threads) : threads_{threads} {
  const Machine machine =
      describe_machine(static_cast<int>(std::thread::hardware_concurrency()), threads);
  header_ = fmt::format("{}, {} cores; {} thread{}; {}; {}; sjd {}", machine.processor,
                        machine.cores, threads, threads == 1 ? "" : "s", machine.instructions,
                        machine.compiler, machine.version);
  fmt::print("{}\nmedian [first, third quartile] of interleaved rounds; {}\n", header_,
             threads == 1 ? "time on the core" : "wall clock");
}

void Report::section(const std::string& name, const std::string& meaning) {
  section_ = name;
  fmt::print("\n{}: {}\n", name, meaning);
}

void Report::add(const std::string& what, const std::string& unit, Samples samples, double scale,
                 Target target) {
  for (double& sample : samples) sample *= scale;
  lines_.push_back({section_, what, unit, std::move(samples), target});
  const Line& line = lines_.back();
  fmt::print("  {:<52} {:>10.4g} [{:.4g}, {:.4g}] {:<11} {}\n", what, median(line.samples),
             quantile(line.samples, 0.25), quantile(line.samples, 0.75), unit, target_text(line));
  std::fflush(stdout);
}

void Report::note(const std::string& text) {
  fmt::print("  {}\n", text);
}

void Report::finish() const {
  const auto has_target = [](const Line& l) { return l.target.sense != Target::Sense::none; };
  const auto all = std::count_if(lines_.begin(), lines_.end(), has_target);
  const auto good = std::count_if(lines_.begin(), lines_.end(),
                                  [&](const Line& l) { return has_target(l) && met(l); });
  fmt::print("\n{} of {} targets met\n", good, all);
}

std::string Report::json() const {
  nlohmann::ordered_json document;
  document["format"] = "sjd-bench-cpu";
  document["machine"] = header_;
  document["threads"] = threads_;
  for (const Line& line : lines_) {
    nlohmann::ordered_json entry{
        {"section", line.section},
        {"what", line.what},
        {"unit", line.unit},
        {"median", median(line.samples)},
        {"quartiles", {quantile(line.samples, 0.25), quantile(line.samples, 0.75)}},
        {"least", quantile(line.samples, 0.0)},
        {"rounds", line.samples.size()}};
    if (line.target.sense != Target::Sense::none) {
      entry[line.target.sense == Target::Sense::at_most ? "at_most" : "at_least"] =
          line.target.value;
      entry["met"] = met(line);
    }
    document["lines"].push_back(std::move(entry));
  }
  return document.dump(1) + "\n";
}

}  // namespace sjd::bench
