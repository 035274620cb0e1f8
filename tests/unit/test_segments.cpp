// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <vector>

#include "sjd/training/segments.hpp"
#include "support/catch.hpp"

namespace {

/// Uniforms from a list; asking for more than was written is a failure of the test.
struct Script {
  std::vector<double> values;
  std::size_t next = 0;
  double operator()() { return values.at(next++); }
};

/// A plain generator, enough to walk through many layouts.
struct Walk {
  std::uint64_t state = 1;
  double operator()() {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<double>(state >> 11U) * 0x1.0p-53;
  }
};

}  // namespace

TEST_CASE("a clean sequence takes one uniform and has no noise", "[segments]") {
  std::array<std::int32_t, 8> levels;
  levels.fill(9);
  Script script{{0.39}};
  const auto layout = sjd::training::sample_levels({}, levels, script);
  CHECK(script.next == 1);
  CHECK(layout.noise_begin == 8);
  CHECK(layout.schedule_levels == 0);
  CHECK(std::all_of(levels.begin(), levels.end(), [](std::int32_t l) { return l == 0; }));
}

TEST_CASE("a scripted staircase of three levels", "[segments]") {
  std::array<std::int32_t, 10> levels{};
  const sjd::training::SegmentOptions options{
      .clean_probability = 0.0, .shortest_window = 6, .longest_window = 6};
  // not clean; K = 3; begin 2; width 6; lowest level 1; cuts at 6 and 4, in any order
  Script script{{0.5, 0.50, 0.2, 0.0, 0.0, 0.6, 0.3}};
  const auto layout = sjd::training::sample_levels(options, levels, script);
  CHECK(layout.schedule_levels == 3);
  CHECK(layout.noise_begin == 2);
  CHECK(layout.window_end == 8);
  CHECK(levels == std::array<std::int32_t, 10>{0, 0, 1, 1, 7, 7, 13, 13, 13, 13});
}

TEST_CASE("every layout is what a decoder's window could hold", "[segments]") {
  Walk walk;
  const sjd::training::SegmentOptions options{};
  std::set<std::int32_t> seen;
  for (int draw = 0; draw < 500; ++draw) {
    std::array<std::int32_t, 256> levels{};
    const auto layout = sjd::training::sample_levels(options, levels, walk);
    CHECK(std::is_sorted(levels.begin(), levels.end()));
    for (std::int64_t i = 0; i < 256; ++i) {
      CHECK((levels[static_cast<std::size_t>(i)] > 0) == (i >= layout.noise_begin));
    }
    CHECK(layout.window_end - layout.noise_begin <= options.longest_window);
    if (layout.schedule_levels == 0) continue;
    seen.insert(layout.schedule_levels);
    const sjd::KarrasSchedule schedule{.levels = layout.schedule_levels, .grid = options.grid};
    std::set<std::int32_t> allowed;
    for (std::int32_t k = 1; k <= schedule.levels; ++k)
      allowed.insert(schedule.checkpoint_level(k));
    for (std::int64_t i = layout.noise_begin; i < 256; ++i) {
      CHECK(allowed.count(levels[static_cast<std::size_t>(i)]) == 1);
    }
  }
  CHECK(seen == std::set<std::int32_t>{1, 2, 3, 4, 5, 7, 13});
}

TEST_CASE("options that cannot be met are refused by name", "[segments]") {
  std::array<std::int32_t, 4> levels{};
  Walk walk;
  CHECK_THROWS_AS(sjd::training::sample_levels({}, std::span<std::int32_t>{}, walk), sjd::Error);
  CHECK_THROWS_AS(sjd::training::sample_levels({.clean_probability = 1.5}, levels, walk),
                  sjd::Error);
  CHECK_THROWS_AS(
      sjd::training::sample_levels({.shortest_window = 9, .longest_window = 8}, levels, walk),
      sjd::Error);
}
