// SPDX-License-Identifier: Apache-2.0
// Tokens a pass, time and nats per token of every composition beside plain AR.
#include <fmt/core.h>

#include <cstdio>
#include <sjd/core/stopwatch.hpp>
#include <string>
#include <vector>

#include "bench_options.hpp"
#include "cells.hpp"
#include "exit_codes.hpp"
#include "gallery.hpp"
#include "machine.hpp"
#include "measure.hpp"
#include "measure_costs.hpp"
#include "png.hpp"
#include "prompts.hpp"
#include "table.hpp"

namespace sjd::bench {
namespace {

std::vector<Group> measure_all(paint::Studio& studio, const BenchOptions& options,
                               const std::vector<PromptEntry>& prompts) {
  std::vector<Group> groups;
  for (const std::int64_t batch : options.batches) {
    for (const double guidance : options.guidance) {
      const std::vector<Cell> cells = plan_cells(options, studio, guidance, batch);
      groups.push_back({guidance, batch, data_nats(studio, cells.front(), prompts),
                        measure(studio, cells, prompts, options)});
      fmt::print("{}", table_text(groups.back(), studio.tokens()));
      std::fflush(stdout);
    }
  }
  return groups;
}

int run(const std::vector<std::string>& arguments) {
  const BenchOptions options = parse_bench_options(arguments);
  if (options.help) {
    fmt::print("{}", bench_help());
    return paint::exit_ok;
  }
  for (const auto& file : {options.json, options.write_costs}) {
    if (!file.empty()) paint::check_writable(file);
  }
  paint::watch_interrupts();
  const Stopwatch clock;
  if (!options.write_costs.empty()) {
    write_costs(options);
    fmt::print("{:.0f} s\n", clock.seconds());
    return paint::exit_ok;
  }
  paint::Studio studio{options.studio};
  if (!options.gallery.empty()) {
    make_gallery(studio, options);
    return paint::exit_ok;
  }
  const std::vector<PromptEntry> prompts =
      draw_prompts(studio, options.split, options.prompts, options.seed);
  const Machine machine = describe_machine(paint::usable_cores(), studio.threads());
  fmt::print("{}{}", header_text(machine, options, studio, prompts.size()),
             missing_costs_text(options, studio));
  std::fflush(stdout);
  const std::vector<Group> groups = measure_all(studio, options, prompts);
  fmt::print("\n{:.0f} s; --help says what the columns mean\n", clock.seconds());
  if (!options.json.empty()) {
    const std::string text = json_text(machine, options, prompts, groups, studio.tokens());
    paint::write_file(options.json, text);
  }
  return paint::exit_ok;
}

}  // namespace
}  // namespace sjd::bench

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return sjd::paint::guarded("bench", [&] { return sjd::bench::run(arguments); });
}
