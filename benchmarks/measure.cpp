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

Sample run_batch(paint::Decoder& decoder, std::span<const paint::Request> requests) {
  const Stopwatch clock;
  std::vector<GenerationResult> results = decoder.generate(requests, keep_going);
  Sample sample;
  sample.seconds = clock.seconds() / static_cast<double>(requests.size());
  sample.nats = std::numeric_limits<double>::quiet_NaN();
  for (GenerationResult& result : results) {
    sample.passes += static_cast<double>(result.statistics.forward_passes);
    sample.tokens += static_cast<double>(result.tokens.size());
    sample.rows += static_cast<double>(result.statistics.rows);
    sample.host_seconds += result.host_seconds;
    sample.library_seconds += result.library_seconds;
    sample.corrector_seconds += result.corrector_seconds;
    sample.pictures.push_back(std::move(result.tokens));
  }
  return sample;
}

/// Touches all memory that a cell needs, so that no measured picture pays for it.
void warm_up(Decoders& decoders, std::span<const Cell> cells, const PromptEntry& prompt) {
  constexpr std::int64_t tokens = 24;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const std::vector<paint::Request> requests(static_cast<std::size_t>(cells[c].batch),
                                               request_of(cells[c], prompt, 0, 0, tokens));
    static_cast<void>(decoders[c]->generate(requests, keep_going));
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
    if (series.samples[sample].pictures != baseline_of(all, series).samples[sample].pictures) {
      throw std::runtime_error{fmt::format("{}: batch {} gave other tokens than {}",
                                           series.cell.composition->name, sample,
                                           series.cell.composition->baseline)};
    }
  }
}

/// Nats per token of one batch of every series; a series that drew its baseline's tokens has its
/// baseline's.
void score_samples(Scorer& scorer, std::vector<Series>& all, std::size_t sample,
                   const std::vector<std::vector<paint::Request>>& requests) {
  for (std::size_t c = 0; c < all.size(); ++c) {
    paint::check_interrupt();
    Sample& scored = all[c].samples[sample];
    const paint::Composition& composition = *all[c].cell.composition;
    if (composition.equals_ar && composition.uses_window) {
      scored.nats = baseline_of(all, all[c]).samples[sample].nats;
    } else {
      scored.nats = 0.0;
      for (std::size_t i = 0; i < requests[c].size(); ++i) {
        scored.nats += scorer.nats_per_token(requests[c][i], scored.pictures[i]) /
                       static_cast<double>(requests[c].size());
      }
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
  const auto batch = static_cast<std::size_t>(cells.front().batch);
  const std::size_t batches = (prompts.size() + batch - 1) / batch;
  for (const Cell& cell : cells) {
    decoders.push_back(cell.composition->make(studio.engine(), cell.plan));
    all.push_back({cell, std::vector<Sample>(batches)});
  }
  warm_up(decoders, cells, prompts.front());
  Scorer scorer{studio.engine()};
  paint::Progress progress{fmt::format("guidance {}", cells.front().guidance),
                           static_cast<std::int64_t>(batches * cells.size())};
  for (std::size_t b = 0; b < batches; ++b) {
    std::vector<std::vector<paint::Request>> requests(cells.size());
    for (std::size_t p = b * batch; p < std::min(prompts.size(), (b + 1) * batch); ++p) {
      for (std::size_t c = 0; c < cells.size(); ++c) {
        requests[c].push_back(request_of(cells[c], prompts[p], options.seed, p, studio.tokens()));
      }
    }
    for (std::size_t turn = 0; turn < cells.size(); ++turn) {
      const std::size_t c = b % 2 == 0 ? turn : cells.size() - 1 - turn;
      all[c].samples[b] = run_batch(*decoders[c], requests[c]);
      progress.advance(1);
    }
    check_promises(all, b);
    if (options.score) score_samples(scorer, all, b, requests);
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
