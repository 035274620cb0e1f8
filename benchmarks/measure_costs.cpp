// SPDX-License-Identifier: Apache-2.0
#include "measure_costs.hpp"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <memory>
#include <sjd/core/stopwatch.hpp>
#include <stdexcept>
#include <utility>

#include "cells.hpp"
#include "costs.hpp"
#include "exit_codes.hpp"
#include "machine.hpp"
#include "measure.hpp"
#include "png.hpp"
#include "progress.hpp"
#include "prompts.hpp"
#include "statistics.hpp"

namespace sjd::bench {
namespace {

constexpr std::array<std::int64_t, 12> all_widths{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
constexpr std::array<std::int64_t, 4> batches{1, 2, 4, 8};
constexpr int repetitions = 7;
constexpr int warm_passes = 2;  // until the window holds its mixture of noise and drafts
constexpr int timed_passes = 3;
constexpr std::int64_t survival_prompts = 24;
constexpr std::int64_t fewest_judged = 20;

using States = std::vector<DecoderState>;

/// Rows a pass that are measured: windows that fit well into a picture.
std::vector<std::int64_t> widths_for(std::int64_t tokens) {
  std::vector<std::int64_t> widths{all_widths.begin(), all_widths.end()};
  std::erase_if(widths, [&](std::int64_t w) { return w > std::max<std::int64_t>(1, tokens / 2); });
  return widths;
}

/// Four significant digits: more would be noise.
double rounded(double value) {
  return std::stod(fmt::format("{:.4g}", value));
}

std::unique_ptr<paint::Decoder> make_decoder(paint::Studio& studio, std::int64_t window) {
  return paint::default_composition(studio).make(studio.engine(), {.window = window});
}

Cell cell_of(const BenchOptions& options, const paint::Studio& studio, std::int64_t branches) {
  return {&paint::default_composition(studio), {}, branches == 1 ? 1.0 : 3.0, options.temperature};
}

/// `batch` pictures, a quarter of them decoded: the timed passes lie in front of their middle.
States begun_pictures(paint::Decoder& decoder, const Cell& cell, std::int64_t batch,
                      std::span<const PromptEntry> prompts, std::int64_t tokens) {
  States states;
  for (std::int64_t i = 0; i < batch; ++i) {
    const PromptEntry& prompt = prompts[static_cast<std::size_t>(i) % prompts.size()];
    states.push_back(
        decoder.start(static_cast<std::int32_t>(i),
                      request_of(cell, prompt, 1, static_cast<std::uint64_t>(i), tokens)));
  }
  for (DecoderState& state : states) {
    while (!state.finished() && state.committed() < tokens / 4) decoder.step({&state, 1});
  }
  return states;
}

/// Seconds of passes of `width` rows a branch that carry on from `states`; the cache behind their
/// tips is overwritten.
void time_passes(paint::Decoder& decoder, std::int64_t width, States states,
                 std::vector<double>& seconds) {
  for (int pass = 0; pass < warm_passes + timed_passes; ++pass) {
    paint::check_interrupt();
    const bool full = std::all_of(states.begin(), states.end(), [&](const DecoderState& state) {
      return !state.finished() && std::ssize(state.window) == width - 1;
    });
    const Stopwatch watch;
    decoder.step(states);
    if (pass >= warm_passes && full) seconds.push_back(watch.seconds());
  }
}

std::vector<CostPoint> measure_passes(paint::Studio& studio, const Cell& cell, std::int64_t batch,
                                      std::span<const PromptEntry> prompts,
                                      paint::Progress& progress) {
  const std::vector<std::int64_t> widths = widths_for(studio.tokens());
  std::vector<std::unique_ptr<paint::Decoder>> decoders;
  for (const std::int64_t width : widths) decoders.push_back(make_decoder(studio, width));
  const States states = begun_pictures(*decoders.back(), cell, batch, prompts, studio.tokens());
  std::vector<std::vector<double>> seconds(widths.size());
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    for (std::size_t turn = 0; turn < widths.size(); ++turn) {
      const std::size_t w = repetition % 2 == 0 ? turn : widths.size() - 1 - turn;
      time_passes(*decoders[w], widths[w], states, seconds[w]);
    }
    progress.advance(1);
  }
  std::vector<CostPoint> points;
  for (std::size_t w = 0; w < widths.size(); ++w) {
    if (seconds[w].empty()) {
      throw std::runtime_error{fmt::format("no pass of {} rows to measure", widths[w])};
    }
    points.push_back({widths[w], rounded(median(seconds[w]))});
  }
  return points;
}

/// Share of passes that accept all slots up to each one; the slots behind those that were judged
/// often enough are left out.
std::vector<double> measure_survival(paint::Studio& studio, const Cell& cell,
                                     std::span<const PromptEntry> prompts) {
  std::vector<paint::Request> requests;
  for (const PromptEntry& prompt : prompts) {
    requests.push_back(request_of(cell, prompt, 2, requests.size(), studio.tokens()));
  }
  const std::int64_t widest = widths_for(studio.tokens()).back();
  std::vector<std::int64_t> judged(static_cast<std::size_t>(widest), 0);
  std::vector<std::int64_t> accepted = judged;
  const auto keep_going = [](const IterationEvent&) {
    paint::check_interrupt();
    return true;
  };
  for (const auto& result : make_decoder(studio, widest)->generate(requests, keep_going)) {
    const DecodeStatistics& s = result.statistics;
    for (std::size_t i = 0; i < s.judged_by_slot.size(); ++i) judged[i] += s.judged_by_slot[i];
    for (std::size_t i = 0; i < s.accepted_by_slot.size(); ++i) {
      accepted[i] += s.accepted_by_slot[i];
    }
  }
  std::vector<double> survival;
  double share = 1.0;
  for (std::size_t i = 0; i < judged.size() && judged[i] >= fewest_judged; ++i) {
    share *= static_cast<double>(accepted[i]) / static_cast<double>(judged[i]);
    survival.push_back(rounded(share));
  }
  return survival;
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(now));
}

}  // namespace

void write_costs(const BenchOptions& options) {
  paint::StudioOptions wide = options.studio;
  wide.sequences = batches.back();
  paint::Studio studio{wide};
  const Machine machine = describe_machine(paint::usable_cores(), studio.threads());
  const std::vector<PromptEntry> prompts =
      draw_prompts(studio, "train", survival_prompts, options.seed);
  paint::CostFile file{.machine = machine.processor + ", " + machine.instructions,
                       .date = today(),
                       .threads = machine.threads,
                       .composition = std::string{paint::default_composition(studio).name},
                       .tables = {}};
  paint::Progress progress{"costs", repetitions * 2 * static_cast<std::int64_t>(batches.size())};
  for (const std::int64_t branches : {std::int64_t{1}, std::int64_t{2}}) {
    const Cell cell = cell_of(options, studio, branches);
    const std::vector<double> survival = measure_survival(studio, cell, prompts);
    for (const std::int64_t batch : batches) {
      file.tables.push_back(
          {batch, branches, measure_passes(studio, cell, batch, prompts, progress), survival});
    }
  }
  const std::string text = paint::costs_text(file);
  paint::write_file(options.write_costs, text);
  fmt::print("{}: {} tables of {}, {} threads\n", options.write_costs.string(), file.tables.size(),
             file.machine, file.threads);
}

}  // namespace sjd::bench
