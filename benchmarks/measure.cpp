// SPDX-License-Identifier: Apache-2.0
#include "measure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <sjd/core/stopwatch.hpp>
#include <stdexcept>

#include "exit_codes.hpp"
#include "progress.hpp"
#include "score.hpp"

namespace sjd::bench {
namespace {

using Decoders = std::vector<std::unique_ptr<paint::Decoder>>;

bool keep_going(const IterationEvent&) {
  paint::check_interrupt();
  return true;
}

Sample run_one(paint::Decoder& decoder, const paint::Request& request) {
  const Stopwatch clock;
  GenerationResult result = decoder.generate({&request, 1}, keep_going).front();
  Sample sample;
  sample.seconds = clock.seconds();
  sample.passes = static_cast<double>(result.statistics.forward_passes);
  sample.tokens = static_cast<double>(result.tokens.size());
  sample.rows = static_cast<double>(result.statistics.rows);
  sample.host_seconds = result.host_seconds;
  sample.library_seconds = result.library_seconds;
  sample.corrector_seconds = result.corrector_seconds;
  sample.nats = std::numeric_limits<double>::quiet_NaN();
  sample.picture = std::move(result.tokens);
  return sample;
}

/// Touches all memory that a cell needs, so that no measured picture pays for it.
void warm_up(Decoders& decoders, std::span<const Cell> cells, const PromptEntry& prompt) {
  constexpr std::int64_t tokens = 24;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const paint::Request request = request_of(cells[c], prompt, 0, 0, tokens);
    static_cast<void>(decoders[c]->generate({&request, 1}, keep_going));
  }
}

const Series& baseline_of(const std::vector<Series>& all, const Series& series) {
  return *std::find_if(all.begin(), all.end(), [&](const Series& other) {
    return other.cell.composition->name == series.cell.composition->baseline;
  });
}

void check_promises(const std::vector<Series>& all, std::size_t sample) {
  for (const Series& series : all) {
    if (!series.cell.composition->equals_ar) continue;
    if (series.samples[sample].picture != baseline_of(all, series).samples[sample].picture) {
      throw std::runtime_error{fmt::format("{}: prompt {} gave other tokens than {}",
                                           series.cell.composition->name, sample,
                                           series.cell.composition->baseline)};
    }
  }
}

/// Nats per token of one sample of every series; a series that drew its baseline's tokens has its
/// baseline's.
void score_samples(Scorer& scorer, std::vector<Series>& all, std::size_t sample,
                   const std::vector<paint::Request>& requests) {
  for (std::size_t c = 0; c < all.size(); ++c) {
    paint::check_interrupt();
    Sample& scored = all[c].samples[sample];
    const paint::Composition& composition = *all[c].cell.composition;
    if (composition.equals_ar && composition.uses_window) {
      scored.nats = baseline_of(all, all[c]).samples[sample].nats;
    } else {
      scored.nats = scorer.nats_per_token(requests[c], scored.picture);
    }
  }
}

}  // namespace

std::vector<double> Series::column(double Sample::*field) const {
  std::vector<double> values;
  for (const Sample& sample : samples) values.push_back(sample.*field);
  return values;
}

double Series::tokens_per_pass() const {
  const std::vector<double> tokens = column(&Sample::tokens);
  const std::vector<double> passes = column(&Sample::passes);
  return std::accumulate(tokens.begin(), tokens.end(), 0.0) /
         std::max(1.0, std::accumulate(passes.begin(), passes.end(), 0.0));
}

paint::Request request_of(const Cell& cell, const PromptEntry& prompt, std::uint64_t seed,
                          std::uint64_t sample, std::int64_t tokens) {
  paint::Request request;
  request.prompt = prompt.words;
  request.tokens = tokens;
  request.seed = seed;
  request.sample = sample;
  request.sampling.temperature = static_cast<float>(cell.temperature);
  if (cell.guidance != 1.0) request.guidance = {static_cast<float>(cell.guidance)};
  return request;
}

std::vector<Series> measure(paint::Studio& studio, std::span<const Cell> cells,
                            std::span<const PromptEntry> prompts, const BenchOptions& options) {
  Decoders decoders;
  std::vector<Series> all;
  for (const Cell& cell : cells) {
    decoders.push_back(cell.composition->make(studio.engine(), cell.plan));
    all.push_back({cell, std::vector<Sample>(prompts.size())});
  }
  warm_up(decoders, cells, prompts.front());
  Scorer scorer{studio.engine()};
  paint::Progress progress{fmt::format("guidance {}", cells.front().guidance),
                           static_cast<std::int64_t>(prompts.size() * cells.size())};
  for (std::size_t p = 0; p < prompts.size(); ++p) {
    std::vector<paint::Request> requests;
    for (const Cell& cell : cells) {
      requests.push_back(request_of(cell, prompts[p], options.seed, p, studio.tokens()));
    }
    for (std::size_t turn = 0; turn < cells.size(); ++turn) {
      const std::size_t c = p % 2 == 0 ? turn : cells.size() - 1 - turn;
      all[c].samples[p] = run_one(*decoders[c], requests[c]);
      progress.advance(1);
    }
    check_promises(all, p);
    if (options.score) score_samples(scorer, all, p, requests);
  }
  return all;
}

double data_nats(paint::Studio& studio, const Cell& cell, std::span<const PromptEntry> prompts) {
  Scorer scorer{studio.engine()};
  double sum = 0.0;
  for (const PromptEntry& prompt : prompts) {
    if (prompt.codes.empty()) return std::numeric_limits<double>::quiet_NaN();
    paint::check_interrupt();
    const paint::Request request = request_of(cell, prompt, 0, 0, studio.tokens());
    sum += scorer.nats_per_token(request, prompt.codes);
  }
  return sum / static_cast<double>(prompts.size());
}

}  // namespace sjd::bench
