// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sjd/cuda/grammar_table.hpp"
#include "sjd/cuda/sequences.hpp"
#include "sjd/cuda/window.hpp"

namespace sjd::cuda {

/// The policies of a composition as kernels know them, written out in host memory; see rules_of.
struct DecodeRules {
  std::int64_t vocab = 0;
  std::int32_t window_rows = 1;  ///< FixedWindow::tokens, or those of the largest picture
  Judge judge = Judge::ratio;
  Refresh refresh = Refresh::maximal;
  DrawKind draw = DrawKind::categorical;
  GrammarLines grammar{};
  std::int64_t depth = 0;  ///< of the corrector

  bool noisy = false;  ///< everything below is of no use without
  KarrasSchedule schedule{};
  bool posterior = false;      ///< PosteriorMean, else RawNoise
  std::int64_t dim = 0;        ///< of an embedding
  std::vector<float> clean{};  // [vocab, dim], EmbeddingSpace::normalized
  std::vector<float> mean{};   // [dim]
  std::vector<float> scale{};  // [dim]
  // Of the posterior, else empty.
  std::vector<float> scores{};       // [dim, vocab], `clean` turned round
  std::vector<float> half_square{};  // [vocab or more]
  std::vector<float> log_prior{};    // [vocab or more]
  std::vector<float> embeddings{};   // [vocab, dim], of the host
};

}  // namespace sjd::cuda
