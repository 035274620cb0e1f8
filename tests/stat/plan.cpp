// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "stat/statistic.hpp"

namespace sjd::test {
namespace {

Statistic read_statistic(const nlohmann::json& entry) {
  return {.composition = entry.at("composition"),
          .instance = {.vocab = entry.at("vocab"),
                       .length = entry.at("length"),
                       .window = entry.at("window"),
                       .top_k = entry.at("top_k"),
                       .guided = entry.at("guided"),
                       .seed = entry.at("table_seed")},
          .seed = entry.at("seed"),
          .pictures = entry.at("pictures")};
}

std::vector<Statistic> read_statistics(const nlohmann::json& entries) {
  std::vector<Statistic> statistics;
  for (const nlohmann::json& entry : entries) statistics.push_back(read_statistic(entry));
  if (statistics.empty()) throw std::runtime_error{"the plan has no statistics"};
  return statistics;
}

}  // namespace

std::string Statistic::text() const {
  return composition + ", V" + std::to_string(instance.vocab) + " L" +
         std::to_string(instance.length) + " W" + std::to_string(instance.window) +
         (instance.top_k > 0 ? " top-k " + std::to_string(instance.top_k) : "") +
         (instance.guided ? " guided" : "") + ", table " + std::to_string(instance.seed) +
         ", seed " + std::to_string(seed);
}

StatisticPlan read_plan(const std::string& file) {
  std::ifstream stream{file};
  const nlohmann::json plan = nlohmann::json::parse(stream);
  return {read_statistics(plan.at("lossless")), read_statistics(plan.at("wrong"))};
}

}  // namespace sjd::test
