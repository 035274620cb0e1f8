// SPDX-License-Identifier: Apache-2.0
// The statistical gate: pictures drawn with the production gate against the AR law, as registered
// in plan.json. Wrong rules must fail it, and it says after how many tokens they do.
#include <algorithm>
#include <cmath>

#include "stat/statistic.hpp"

namespace sjd::test {
namespace {

const StatisticPlan& plan() {
  static const StatisticPlan read = read_plan(SJD_STAT_DIR "/plan.json");
  return read;
}

/// What one statistic came to.
struct Outcome {
  std::int64_t pictures = 0;
  std::int64_t tokens = 0;
  double log_e = 0.0;
};

/// Draws the pictures of a statistic and stops at the first block at which it fails.
Outcome run(const Statistic& statistic, bool lossless) {
  EProcess process = start_process(statistic);
  Outcome outcome;
  draw_pictures(statistic, lossless, 0, statistic.pictures, process, [&](std::int64_t drawn) {
    outcome.pictures = drawn;
    outcome.log_e = process.log_e();
    return !process.fails();
  });
  outcome.tokens = outcome.pictures * statistic.instance.length;
  return outcome;
}

void print(const std::string& what, const Outcome& outcome) {
  print_layer(
      "L3", what,
      std::to_string(outcome.pictures) + " pictures, " + std::to_string(outcome.tokens) + " tokens",
      "log E " + number_text(outcome.log_e, 4));
}

}  // namespace

TEST_CASE("evidence is counted as its definition says") {
  EProcess coin{{0.5, 0.5}};
  CHECK(coin.log_e() == close_to(0.0).margin(1e-12));
  // One draw: mixture 1/2 over 1/2. Two equal draws: mixture 3/8 over 1/4.
  coin.add(0);
  CHECK(coin.log_e() == close_to(0.0).margin(1e-12));
  coin.add(0);
  CHECK(coin.log_e() == close_to(std::log(1.5)));
  CHECK_FALSE(coin.fails());
  coin.add(0, 60);
  CHECK(coin.fails());
  EProcess half{{0.5, 0.0, 0.5}};
  half.add(1);
  CHECK(half.fails());
  EProcess sure{{0.0, 1.0}};
  sure.add(1, 1'000'000);
  CHECK(sure.log_e() == close_to(0.0).margin(1e-9));
  CHECK_THROWS((EProcess{{0.5, 0.4}}));
}

TEST_CASE("the mean of the evidence is 1 under the law") {
  // Over all 3^6 sequences of draws, weighted by their probability.
  const std::vector<double> law{0.2, 0.5, 0.3};
  double mean = 0.0;
  for (int sequence = 0; sequence < 729; ++sequence) {
    EProcess process{law};
    double weight = 1.0;
    for (int i = 0, rest = sequence; i < 6; ++i, rest /= 3) {
      process.add(static_cast<std::size_t>(rest % 3));
      weight *= law[static_cast<std::size_t>(rest % 3)];
    }
    mean += weight * std::exp(process.log_e());
  }
  CHECK(mean == close_to(1.0).epsilon(1e-12));
}

TEST_CASE("lossless compositions follow the AR law under the production gate") {
  Outcome all;
  all.log_e = -INFINITY;
  for (const Statistic& statistic : plan().lossless) {
    const Outcome outcome = run(statistic, true);
    print(statistic.text(), outcome);
    INFO(statistic.text());
    CHECK(outcome.pictures == statistic.pictures);
    CHECK(outcome.log_e < EProcess::decisive);
    all.pictures += outcome.pictures;
    all.tokens += outcome.tokens;
    all.log_e = std::max(all.log_e, outcome.log_e);
  }
  print("all " + std::to_string(plan().lossless.size()) + " statistics, 32.2 fails", all);
  CHECK(all.tokens >= 10'000'000);
}

TEST_CASE("wrong rules fail the gate") {
  for (const Statistic& statistic : plan().wrong) {
    const Outcome outcome = run(statistic, false);
    print("control: " + statistic.text(), outcome);
    INFO(statistic.text());
    CHECK(outcome.log_e >= EProcess::decisive);
  }
}

TEST_CASE("the loop around the batch minimum passes where nothing is cut") {
  for (Statistic statistic : plan().wrong) {
    if (statistic.composition != "batch minimum") continue;
    statistic.composition = "own cursor";
    const Outcome outcome = run(statistic, false);
    print("twin of a control: " + statistic.text(), outcome);
    CHECK(outcome.pictures == statistic.pictures);
    CHECK(outcome.log_e < EProcess::decisive);
  }
}

TEST_CASE("a statistic is what it says it is") {
  Statistic lossy{.composition = "SJD2 ungated", .instance = {}, .seed = 1, .pictures = 1};
  EProcess process = start_process(lossy);
  const auto go_on = [](std::int64_t) { return true; };
  CHECK_THROWS(draw_pictures(lossy, true, 0, 1, process, go_on));
  lossy.composition = "SJD3";
  CHECK_THROWS(draw_pictures(lossy, true, 0, 1, process, go_on));
}

}  // namespace sjd::test
