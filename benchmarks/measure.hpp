// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench_options.hpp"
#include "cells.hpp"
#include "prompts.hpp"

namespace sjd::bench {

/// The pictures of one cell that were decoded together; counts and seconds inside are summed over
/// them.
struct Sample {
  double passes = 0.0;
  double tokens = 0.0;
  double rows = 0.0;
  double seconds = 0.0;  ///< wall clock over pictures, prefill included
  double host_seconds = 0.0;
  double library_seconds = 0.0;    ///< outside the model
  double corrector_seconds = 0.0;  ///< the part of it inside the corrector
  double nats = 0.0;               ///< per token; NaN if it was not asked for
  std::vector<std::vector<TokenId>> pictures;
};

/// One cell over all prompts, batch by batch.
struct Series {
  Cell cell;
  std::vector<Sample> samples;  // [batches]

  [[nodiscard]] std::vector<double> column(double Sample::*field) const;
  /// sum of tokens / sum of passes
  [[nodiscard]] double tokens_per_pass() const;
};

/// Decodes every prompt with every cell, as many at a time as the cells' batch says (the same for
/// all of them). The cells take turns batch by batch, in alternating order, so that a change of the
/// machine's speed meets all of them.
///
/// errors  std::runtime_error if a composition that promises AR's tokens draws others
[[nodiscard]] std::vector<Series> measure(paint::Studio& studio, std::span<const Cell> cells,
                                          std::span<const PromptEntry> prompts,
                                          const BenchOptions& options);

/// Mean nats per token of the true pictures of these prompts, teacher-forced, under the law of
/// `cell`; NaN if the model directory has no true pictures.
[[nodiscard]] double data_nats(paint::Studio& studio, const Cell& cell,
                               std::span<const PromptEntry> prompts);

/// The request of one prompt; the place of the prompt is the sample number.
[[nodiscard]] paint::Request request_of(const Cell& cell, const PromptEntry& prompt,
                                        std::uint64_t seed, std::uint64_t sample,
                                        std::int64_t tokens);

}  // namespace sjd::bench
