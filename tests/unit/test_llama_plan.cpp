// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "sjd/hosts/llama_plan.hpp"
#include "support/catch.hpp"

namespace {

using sjd::hosts::LlamaPlan;
using sjd::hosts::LlamaRow;

/// Slots of `lengths[s]` rows each, at some position in the picture.
std::vector<LlamaRow> rows_of(const std::vector<std::int64_t>& lengths) {
  std::vector<LlamaRow> rows;
  for (std::size_t slot = 0; slot < lengths.size(); ++slot) {
    for (std::int64_t i = 0; i < lengths[slot]; ++i) {
      rows.push_back({static_cast<std::int64_t>(slot), 40 + i});
    }
  }
  return rows;
}

void check_cover(const std::vector<std::int64_t>& lengths, std::int64_t threads) {
  constexpr std::int64_t heads = 3, together = 5;
  const std::vector<LlamaRow> rows = rows_of(lengths);
  const auto count = static_cast<std::int64_t>(rows.size());
  LlamaPlan plan{rows.size() * heads, static_cast<int>(threads)};
  plan.cut(rows, heads, together, threads);
  CAPTURE(count, threads);
  CHECK(static_cast<std::int64_t>(plan.parts().size()) ==
        (count < threads * LlamaPlan::least_rows ? 1 : threads));
  std::vector<int> taken(static_cast<std::size_t>(count * heads), 0);
  std::int64_t next = 0;
  for (const auto& part : plan.parts()) {
    CHECK(part.first == next);
    next += part.count;
    for (const auto& task : plan.tasks(part)) {
      CHECK((task.count >= 1 && task.count <= together));
      CHECK((task.first >= part.first && task.first + task.count <= part.first + part.count));
      for (std::int64_t i = task.first; i < task.first + task.count; ++i) {
        taken[static_cast<std::size_t>(i * heads + task.head)] += 1;
        CHECK(rows[static_cast<std::size_t>(i)].slot ==
              rows[static_cast<std::size_t>(task.first)].slot);
      }
    }
  }
  CHECK(next == count);
  for (const int times : taken) CHECK(times == 1);
}

/// Whether a part is held back until `release` has been called.
template <class Release>
bool waits(const LlamaPlan& plan, std::size_t part, std::int64_t layer, Release&& release) {
  std::atomic<bool> passed{false};
  std::thread waiting{[&] {
    plan.wait_for_rows_in_front(plan.parts()[part], layer);
    passed = true;
  }};
  std::this_thread::sleep_for(std::chrono::milliseconds{20});
  const bool held = !passed;
  release();
  waiting.join();
  return held;
}

}  // namespace

TEST_CASE("a plan takes every row and head once, no task over the end of a slot or a part",
          "[llama]") {
  for (const std::int64_t threads : {1, 2, 3, 4}) {
    check_cover({1}, threads);
    check_cover({11}, threads);
    check_cover({12}, threads);
    check_cover({64, 64}, threads);
    check_cover({7, 1, 30, 2}, threads);
  }
}

TEST_CASE("a part waits for the rows in front of it in its slot, layer by layer, and for no others",
          "[llama]") {
  const std::vector<LlamaRow> rows = rows_of({20, 40});  // parts of 20: slot 0, slot 1, slot 1
  LlamaPlan plan{rows.size(), 3};
  plan.cut(rows, 1, 8, 3);
  const auto parts = plan.parts();
  REQUIRE(parts.size() == 3);
  CHECK_FALSE(waits(plan, 0, 0, [] {}));
  CHECK_FALSE(waits(plan, 1, 0, [] {}));
  CHECK(waits(plan, 2, 0, [&] { plan.attended(parts[1], 0); }));
  CHECK_FALSE(waits(plan, 2, 0, [] {}));
  CHECK(waits(plan, 2, 1, [&] { plan.attended(parts[1], 1); }));
  plan.cut(rows, 1, 8, 3);
  CHECK(waits(plan, 2, 0, [&] { plan.attended(parts[1], 0); }));
}

TEST_CASE("a part waits for every part of its slot in front of it", "[llama]") {
  const std::vector<LlamaRow> rows = rows_of({60});
  LlamaPlan plan{rows.size(), 3};
  plan.cut(rows, 1, 8, 3);
  const auto parts = plan.parts();
  plan.attended(parts[1], 0);
  CHECK(waits(plan, 2, 0, [&] { plan.attended(parts[0], 0); }));
}
