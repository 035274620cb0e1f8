// SPDX-License-Identifier: Apache-2.0
// Joins the lines that the parts of benchmarks/gpu/run left: a table on standard output, gpu.json.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <stdexcept>

#include "gpu_table.hpp"

namespace sjd::bench {
namespace {

constexpr const char* usage =
    "gpu_table --json FILE [--tau TOKENS_PER_PASS --tau-window \"W 16\" --tau-of MODEL] "
    "FILE.tsv...\n";

int run(int count, char** words) {
  GpuResults results;
  std::string json;
  MeasuredTau tau;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word.rfind("--", 0) != 0) {
      std::ifstream file{word};
      if (!file) throw std::runtime_error(word + ": cannot be opened");
      read_lines(file, results);
      continue;
    }
    if (i + 1 == count) throw std::invalid_argument(word + " needs a value");
    const std::string value = words[++i];
    if (word == "--json") {
      json = value;
    } else if (word == "--tau") {
      tau.tokens_per_pass = std::strtod(value.c_str(), nullptr);
    } else if (word == "--tau-window") {
      tau.window = value;
    } else if (word == "--tau-of") {
      tau.model = value;
    } else {
      throw std::invalid_argument(word + ": no such option");
    }
  }
  const bool projects = tau.tokens_per_pass > 0.0 && !tau.window.empty() && !tau.model.empty();
  const std::optional<MeasuredTau> given = projects ? std::optional{tau} : std::nullopt;
  std::fputs(table_text(results, given).c_str(), stdout);
  std::ofstream file{json};
  file << json_text(results, given);
  if (!file) throw std::runtime_error(json + ": cannot be written");
  return 0;
}

}  // namespace
}  // namespace sjd::bench

int main(int count, char** words) {
  if (count < 2 || std::strcmp(words[1], "--help") == 0) {
    std::fputs(sjd::bench::usage, count < 2 ? stderr : stdout);
    return count < 2 ? 64 : 0;
  }
  try {
    return sjd::bench::run(count, words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_table: %s\n%s", error.what(), sjd::bench::usage);
    return 1;
  }
}
