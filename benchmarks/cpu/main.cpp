// SPDX-License-Identifier: Apache-2.0
// The library's own loops on this processor: targets and measured numbers side by side.
#include <fmt/core.h>

#include <sjd/core/stopwatch.hpp>
#include <string>
#include <vector>

#include "exit_codes.hpp"
#include "flags.hpp"
#include "png.hpp"
#include "sections.hpp"

namespace sjd::bench {
namespace {

struct CpuOptions {
  std::vector<std::string> sections{"rows", "verify", "linear", "host"};
  double seconds = 1.5;
  int threads = 1;
  std::string json;
  bool scaling = false;
  std::string output = ".";
  bool help = false;
};

constexpr const char* help_text =
    R"(bench_cpu - what the library costs beside the host, against targets and other code

usage: benchmarks/run --cpu [--only LIST] [--seconds S] [--threads N] [--json FILE]
       benchmarks/run --scaling -o DIR [--seconds S]

  --only LIST     rows, verify, linear, host (default: all)
  --seconds S     about how long each group of contenders takes turns (default 1.5; all together
                  under five minutes)
  --threads N     threads of the linear layers and of the host (default 1)
  --json FILE     every line with quartiles
  --scaling       instead: charts (SVG) of cost against V, W, batch, picture size and threads into
                  the directory -o, and what a sequence needs in memory
  -o, --output DIR
  --help          this text

A line shows the median of interleaved rounds, [first, third quartile], and its target. The
contenders of a group take turns call by call, so that a busy machine is slow for all of them; with
one thread its time on the core counts, with several the wall clock.

exit codes: 0 done (targets met or not), 64 bad option, 74 cannot write
)";

CpuOptions parse(const std::vector<std::string>& arguments) {
  CpuOptions o;
  std::vector<paint::Flag> flags{
      {"--only", true,
       [&](const std::string& text) {
         const std::vector<std::string> all = o.sections;
         std::vector<std::string> chosen;
         for (const std::string& piece : paint::split_commas(text)) {
           chosen.push_back(paint::choice_value("--only", piece, all));
         }
         o.sections = chosen;
       }},
      {"--seconds", true,
       [&](const std::string& text) {
         o.seconds = paint::real_value("--seconds", text, 0.001, 600.0);
       }},
      {"--threads", true,
       [&](const std::string& text) {
         o.threads = static_cast<int>(paint::integer_value("--threads", text, 1, 256));
       }},
      {"--json", true, [&](const std::string& text) { o.json = text; }},
      {"--scaling", false, [&](const std::string&) { o.scaling = true; }},
      {"--output", true, [&](const std::string& text) { o.output = text; }, "-o"},
      {"--help", false, [&](const std::string&) { o.help = true; }},
  };
  const std::vector<std::string> words = paint::parse_flags(arguments, flags);
  if (!words.empty()) {
    throw paint::UsageError{
        fmt::format("{}: bench_cpu takes options only; --help lists them", words.front())};
  }
  return o;
}

int run(const std::vector<std::string>& arguments) {
  const CpuOptions options = parse(arguments);
  if (options.help) {
    fmt::print("{}", help_text);
    return paint::exit_ok;
  }
  const Stopwatch clock;
  Report report{options.threads};
  if (options.scaling) {
    plot_scaling(options.output, options.seconds);
    return paint::exit_ok;
  }
  for (const std::string& section : options.sections) {
    if (section == "rows") measure_rows(report, options.seconds);
    if (section == "verify") measure_verify(report, options.seconds);
    if (section == "linear") measure_linear(report, options.seconds, options.threads);
    if (section == "host") measure_host(report, options.seconds, options.threads);
  }
  report.finish();
  fmt::print("{:.0f} s\n", clock.seconds());
  if (!options.json.empty()) {
    const std::string text = report.json();
    paint::write_file(options.json, text);
  }
  return paint::exit_ok;
}

}  // namespace
}  // namespace sjd::bench

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return sjd::paint::guarded("bench_cpu", [&] { return sjd::bench::run(arguments); });
}
