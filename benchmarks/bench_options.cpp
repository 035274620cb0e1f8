// SPDX-License-Identifier: Apache-2.0
#include "bench_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "exit_codes.hpp"
#include "flags.hpp"

namespace sjd::bench {
namespace {

using paint::Flag;

Flag text_flag(const char* name, std::function<void(const std::string&)> set) {
  return {name, true, std::move(set)};
}

Flag switch_flag(const char* name, bool& target, bool value) {
  return {name, false, [=, &target](const std::string&) { target = value; }};
}

std::vector<double> guidance_list(const std::string& text) {
  std::vector<double> scales;
  for (const std::string& piece : paint::split_commas(text)) {
    scales.push_back(paint::real_value("--guidance", piece, 0.0, 20.0));
  }
  return scales;
}

std::vector<std::int64_t> window_list(const std::string& text) {
  std::vector<std::int64_t> windows;
  for (const std::string& piece : paint::split_commas(text)) {
    windows.push_back(piece == "auto" ? 0 : paint::window_value("--window", piece));
  }
  return windows;
}

std::vector<std::string> composition_list(const std::string& text) {
  std::vector<std::string> names;
  for (const paint::Composition& entry : paint::compositions()) names.emplace_back(entry.name);
  std::vector<std::string> chosen;
  for (const std::string& piece : paint::split_commas(text)) {
    chosen.push_back(paint::choice_value("--only", piece, names));
  }
  return chosen;
}

std::vector<Flag> what_to_run(BenchOptions& o) {
  return {
      switch_flag("--quick", o.full, false),
      switch_flag("--full", o.full, true),
      switch_flag("--no-score", o.score, false),
      text_flag("--prompts",
                [&](const auto& t) { o.prompts = paint::integer_value("--prompts", t, 1, 4096); }),
      text_flag("--split",
                [&](const auto& t) {
                  const std::vector<std::string> all{"new_combinations", "new_concepts", "train"};
                  o.split = paint::choice_value("--split", t, all);
                }),
      text_flag("--seed", [&](const auto& t) { o.seed = paint::seed_value("--seed", t); }),
      text_flag("--guidance", [&](const auto& t) { o.guidance = guidance_list(t); }),
      text_flag(
          "--temperature",
          [&](const auto& t) { o.temperature = paint::real_value("--temperature", t, 0.0, 10.0); }),
      text_flag("--window", [&](const auto& t) { o.windows = window_list(t); }),
      text_flag("--batch",
                [&](const auto& t) { o.batches = paint::integer_list("--batch", t, 1, 256); }),
      text_flag("--levels",
                [&](const auto& t) { o.levels = paint::integer_list("--levels", t, 1, 4096); }),
      text_flag("--depth",
                [&](const auto& t) { o.depth = paint::integer_value("--depth", t, 1, 4096); }),
      text_flag("--only", [&](const auto& t) { o.only = composition_list(t); }),
  };
}

std::vector<Flag> where_to_run(BenchOptions& o) {
  return {
      text_flag("--json", [&](const auto& t) { o.json = t; }),
      text_flag("--costs", [&](const auto& t) { o.costs = t; }),
      text_flag("--write-costs", [&](const auto& t) { o.write_costs = t; }),
      text_flag("--gallery", [&](const auto& t) { o.gallery = t; }),
      text_flag("--model", [&](const auto& t) { o.studio.model = t; }),
      text_flag("--weights",
                [&](const auto& t) {
                  const std::vector<std::string> all{"sjd2", "base"};
                  o.studio.weights = paint::choice_value("--weights", t, all);
                }),
      text_flag("--threads",
                [&](const auto& t) {
                  o.studio.threads = static_cast<int>(paint::integer_value("--threads", t, 1, 256));
                }),
      switch_flag("--help", o.help, true),
  };
}

}  // namespace

BenchOptions parse_bench_options(std::span<const std::string> arguments) {
  BenchOptions options;
  std::vector<Flag> flags = what_to_run(options);
  for (Flag& flag : where_to_run(options)) flags.push_back(std::move(flag));
  const std::vector<std::string> words = paint::parse_flags(arguments, flags);
  if (!words.empty()) {
    throw paint::UsageError{
        fmt::format("{}: bench takes options only; --help lists them", words.front())};
  }
  const bool full = options.full;
  if (options.levels.empty()) {
    options.levels =
        full ? std::vector<std::int64_t>{1, 2, 3, 4, 7, 13} : std::vector<std::int64_t>{1, 2};
  }
  options.studio.sequences = *std::max_element(options.batches.begin(), options.batches.end());
  return options;
}

std::string bench_help() {
  return R"(bench - how many tokens a pass, at what price, and whether the pictures are still AR's

usage: bench [--quick | --full] [options]
       bench --batch 1,2,4,8 --window auto --only sjd2-corrected --no-score
       bench --gallery docs/gallery
       bench --write-costs examples/paint/model/costs.json

  --quick             the compositions that matter, a few minutes on two cores (default)
  --full              every window and number of levels, lossy ones too; hours
  --prompts N         prompts of the split, drawn by --seed (default 64)
  --split NAME        new_combinations (default), new_concepts or train
  --seed N            chooses the prompts and seeds the pictures (default 0)
  --guidance LIST     guidance scales, each a table of its own (default 3,1)
  --temperature T     (default 1)
  --window LIST       windows; the first is used where only one is tried; auto goes by cost
                      (default 32,16,8, and auto for the composition that paint takes if there
                      are costs)
  --batch LIST        pictures a pass, each a table of its own (default 1)
  --levels LIST       noise levels, likewise (default 1,2)
  --depth D           drafts behind the tip that a corrector may redraw (default 16)
  --only LIST         these compositions only, AR always beside them
  --no-score          leave out nats per token
  --costs FILE        what windows by cost go by (default: costs.json of the model directory)
  --write-costs FILE  measure what passes cost on this machine, and the survival of drafts, and
                      write them for paint --costs; about a minute on two quiet cores
  --json FILE         every number, also per prompt
  --gallery DIR       64 prompts, AR beside the default, as PNG sheets with captions
  --threads N         (default: every core)
  --model DIR         (default: SJD_MODEL, else the one shipped)
  --weights NAME      sjd2 (default) or base
  --help              this text

columns
  W             rows a pass; ~12 = 12 on average, chosen by cost
  tokens/pass   256 tokens over forward passes, with a bootstrap 95 % interval over prompts
  bound         what the gate allows at most: N / (K + (N - K) K / W)
  x SJD         tokens/pass over that of SJD with fresh drafts at the same guidance
  nats          nats per token of the samples under the law that they were drawn from
  s/picture     median wall clock of one batch over its pictures, [first, third quartile];
                compositions take turns batch by batch, so that all meet the same machine
  x AR          median over batches of AR's time over this one's; above 1 is faster than AR
  model         milliseconds a pass inside the model
  head          milliseconds a pass inside the corrector
  library       milliseconds a pass in the rest: laws, verification, drafts

exit codes: 0 done, 64 bad option, 65 bad model file, 70 a result is wrong, 74 cannot read or
write, 130 interrupted
)";
}

}  // namespace sjd::bench
