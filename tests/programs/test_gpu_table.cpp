// SPDX-License-Identifier: Apache-2.0
// The table of benchmarks/gpu/run, on made-up lines: no number here was measured on anything.
#include <sstream>
#include <stdexcept>
#include <string>

#include "gpu/gpu_lines.hpp"
#include "gpu/gpu_table.hpp"
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
  GpuLine step{.id = "G5", .shape = "step, 1 x 96 rows, noise of 4096", .who = "sjd", .unit = "us"};
  step.median = 10.0;
  GpuLine ar{.id = "G6", .shape = "AR", .who = "sjd", .unit = "us"};
  ar.median = 4000.0;
  GpuLine window{.id = "G6", .shape = "W 16", .who = "sjd", .unit = "us"};
  window.median = 4990.0;
  results.lines = {rows, eager, missing, step, ar, window};
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

}  // namespace
}  // namespace sjd::bench
