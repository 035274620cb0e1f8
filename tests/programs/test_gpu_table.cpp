// SPDX-License-Identifier: Apache-2.0
// The table of benchmarks/gpu/run, on made-up lines: no number here was measured on anything.
#include <sstream>
#include <stdexcept>
#include <string>

#include "gpu/gpu_lines.hpp"
#include "gpu/gpu_table.hpp"
#include "gpu/host_lines.hpp"
#include "support/catch.hpp"

namespace sjd::bench {
namespace {

GpuResults made_up() {
  GpuResults results;
  results.facts = {{"device", "made up"}};
  GpuLine rows{.id = "G1", .shape = "96 rows, V 8192", .who = "sjd", .unit = "us"};
  rows.median = 5.0;
  rows.low = 4.5;
  rows.high = 6.5;
  rows.least = 1.25;
  rows.target = 6.0;
  GpuLine eager{.id = "G1", .shape = "96 rows, V 8192", .who = "PyTorch eager", .unit = "us"};
  eager.median = 450.0;
  eager.target_ratio = 100.0;
  GpuLine missing{.id = "G1", .shape = "96 rows, V 8192", .who = "FlashInfer", .unit = "us"};
  missing.target_ratio = 8.0;
  missing.note = "not on this machine";
  GpuLine ar{.id = "G6", .shape = "7B, AR", .who = "sjd", .unit = "us"};
  ar.median = 4000.0;
  GpuLine window{.id = "G6", .shape = "7B, W 16", .who = "sjd", .unit = "us"};
  window.median = 5000.0;
  results.lines = {rows, eager, missing, ar, window};
  return results;
}

std::string row_of(const std::string& text, const std::string& who) {
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    if (line.find(who) != std::string::npos) return line;
  }
  return {};
}

bool says(const std::string& text, const std::string& words) {
  return text.find(words) != std::string::npos;
}

TEST_CASE("GPU lines survive their file") {
  GpuResults results = made_up();
  results.lines[2].note = "two\tlines\nof words";
  std::stringstream file;
  write_lines(file, results);
  GpuResults read;
  read_lines(file, read);
  results.lines[2].note = "two lines of words";
  CHECK(read.facts == results.facts);
  CHECK(read.lines == results.lines);
}

/// What reading `text` complains of.
std::string complaint(const std::string& text) {
  GpuResults results;
  std::istringstream file{text};
  try {
    read_lines(file, results);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing";
}

TEST_CASE("A broken file of GPU lines is refused by line") {
  CHECK(complaint("G1\tshape\tsjd\tus\n") == "line 1: not eleven fields");
  CHECK(complaint("\nG1\tshape\tsjd\tus\tfast\t\t\t\t\t\t\n") == "line 2: fast is not a number");
}

TEST_CASE("The GPU table judges targets, and says what was not measured") {
  GpuResults results = made_up();
  std::string text = table_text(results, std::nullopt);
  CHECK(says(row_of(text, "V 8192                    sjd"), " met"));
  CHECK(says(row_of(text, "PyTorch eager"), "90.00 x  missed"));
  CHECK(says(row_of(text, "FlashInfer"), "not measured  not on this machine"));
  results.lines[0].median = 6.1;
  results.lines[1].median = 620.0;
  text = table_text(results, std::nullopt);
  CHECK(says(row_of(text, "V 8192                    sjd"), " missed"));
  CHECK(says(row_of(text, "PyTorch eager"), " met"));
  CHECK(says(json_text(results, std::nullopt), "\"times_ours\": 101.639"));
  CHECK(says(json_text(results, std::nullopt), "\"median\": null"));
}

TEST_CASE("A speed-up on a GPU is projected from a named tau, or not shown") {
  GpuResults results = made_up();
  const MeasuredTau tau{5.0, "W 16", "a made-up model"};
  CHECK(projected_speed_up(results, tau).value() == test::close_to(4.0));
  CHECK(says(table_text(results, tau), "projected speed-up over AR on this device: 4.00 x"));
  CHECK(says(table_text(results, tau), "measured: a made-up model"));
  CHECK(says(table_text(results, std::nullopt), "no speed-up is projected"));
  CHECK(says(json_text(results, std::nullopt), "\"projected\": null"));
  results.lines.pop_back();
  CHECK_FALSE(projected_speed_up(results, tau).has_value());
}

const GpuLine& line_named(const std::vector<GpuLine>& lines, const std::string& shape) {
  for (const GpuLine& line : lines) {
    if (line.shape == shape) return line;
  }
  throw std::runtime_error("no line " + shape);
}

TEST_CASE("Times of a host become a pass, its ratio to AR and the share of the step") {
  const HostShape shape{
      .name = "7B", .context = 1024, .least = 900.0, .step_target = 0.3, .ratio_target = 1.2};
  const std::vector<PassTimes> passes{
      {1, {1000.0, 2000.0, 1000.0}, {2.0, 4.0, 2.0}},
      {16, {1100.0, 2200.0, 1100.0}, {11.0, 22.0, 11.0}},
      {80, {1250.0, 2500.0, 1250.0}, {2.5, 5.0, 2.5}},
  };
  const std::vector<GpuLine> lines = pass_lines(shape, passes);
  REQUIRE(lines.size() == 3 + 2 + 3);
  const GpuLine& ar = line_named(lines, "7B, AR");
  CHECK(ar.median.value() == test::close_to(1000.0));
  CHECK(ar.high.value() == test::close_to(1500.0));
  CHECK(ar.least.value() == test::close_to(900.0));
  CHECK(says(ar.note, "1024 tokens of context"));
  // Round by round: the slow round is slow for all.
  const GpuLine& wide = line_named(lines, "7B, W 80 over AR");
  CHECK(wide.median.value() == test::close_to(1.25));
  CHECK(wide.high.value() == test::close_to(1.25));
  CHECK(wide.target.value() == test::close_to(1.2));
  CHECK_FALSE(line_named(lines, "7B, W 16 over AR").target.has_value());
  CHECK(line_named(lines, "7B, W 16, step").median.value() == test::close_to(1.0));
  CHECK(line_named(lines, "7B, W 80, step").median.value() == test::close_to(0.2));

  GpuResults results;
  results.lines = lines;
  const std::string text = table_text(results, std::nullopt);
  CHECK(says(row_of(text, "7B, W 80 over AR"), " missed"));
  CHECK(says(row_of(text, "7B, W 80, step"), " met"));
  CHECK(projected_speed_up(results, {3.0, "W 16", "a made-up model"}).value() ==
        test::close_to(3.0 / 1.1));
}

TEST_CASE("Times of a host that do not belong together are refused") {
  const std::vector<PassTimes> no_ar{{8, {1.0}, {1.0}}};
  CHECK_THROWS_AS(pass_lines({}, no_ar), std::invalid_argument);
  CHECK_THROWS_AS(pass_lines({}, {}), std::invalid_argument);
  const std::vector<PassTimes> ragged{{1, {1.0, 2.0}, {1.0, 1.0}}, {8, {1.0}, {1.0}}};
  CHECK_THROWS_AS(pass_lines({}, ragged), std::invalid_argument);
  const std::vector<PassTimes> no_step{{1, {1.0, 2.0}, {1.0}}};
  CHECK_THROWS_AS(pass_lines({}, no_step), std::invalid_argument);
  const std::vector<PictureTimes> pictures{{"AR", {2.0, 2.0}, 1.0}, {"W 16", {1.0}, 4.0}};
  CHECK_THROWS_AS(picture_lines("pictures", pictures), std::invalid_argument);
}

TEST_CASE("Times of pictures become milliseconds, tokens a pass and times as fast as AR") {
  const std::vector<PictureTimes> pictures{{"AR", {80.0, 40.0, 40.0}, 1.0},
                                           {"W 32", {20.0, 10.0, 10.0}, 5.5}};
  const std::vector<GpuLine> lines = picture_lines("guided pictures", pictures);
  REQUIRE(lines.size() == 5);
  CHECK(line_named(lines, "guided pictures, AR").median.value() == test::close_to(40.0));
  CHECK(line_named(lines, "guided pictures, W 32, a pass").median.value() == test::close_to(5.5));
  const GpuLine& gain = line_named(lines, "guided pictures, W 32, x AR");
  CHECK(gain.median.value() == test::close_to(4.0));
  CHECK(gain.low.value() == test::close_to(4.0));
  CHECK_FALSE(gain.target.has_value());
}

}  // namespace
}  // namespace sjd::bench
