// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/mass.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/core/sampling.hpp"
#include "sjd/cpu/kernels.hpp"

namespace sjd::cpu {

/// Classifier-free guidance of N branches: u + sum_b s_b (l_b - u), u the last branch.
///
/// shapes  branches [scales.size() + 1, vocab]; guided [vocab], overwritten
/// edge    a token that is -Inf in every branch stays -Inf; one that is +Inf in any branch is never
///         masked by a negative scale: it becomes +Inf or NaN; no scales: a copy of branch 0
/// source  arXiv 2207.12598 for one scale
inline void guide(MatrixView<const float> branches, std::span<const float> scales,
                  std::span<float> guided) {
  const float* last = branches.row(branches.rows - 1).data();
  std::copy_n(last, guided.size(), guided.data());
  for (std::size_t b = 0; b < scales.size(); ++b) {
    kernels().guide(branches.row(static_cast<std::int64_t>(b)).data(), last, scales[b],
                    guided.data(), static_cast<std::int64_t>(guided.size()));
  }
}

/// Buffers that turn one row of logits into a law; reused from row to row.
class LawBuilder {
 public:
  /// The law of one row after temperature, top-k and top-p.
  ///
  /// shapes  logits [vocab]
  /// edge    -Inf has no mass; temperature 0 is a point law
  /// errors  invalid_logits at NaN or +Inf, empty_support if every logit is -Inf
  void build(std::span<const float> logits, const SamplingOptions& options, TokenLaw& law) {
    const float top = largest(logits);
    if (options.temperature == 0.0F) {
      law.set_point(
          static_cast<TokenId>(std::find(logits.begin(), logits.end(), top) - logits.begin()));
      return;
    }
    const bool cut = options.top_k > 0 && options.top_k < static_cast<std::int64_t>(logits.size());
    const float floor = cut ? kth_largest(logits, options.top_k) : lowest;
    ids_.resize(logits.size() + 16);
    masses_.resize(logits.size() + 16);
    // Differences first: the largest logit then has exactly 0, at any temperature and any shift.
    const float inverse = std::min(1.0F / options.temperature, std::numeric_limits<float>::max());
    kept_ = kernels().masses(
        {logits.data(), static_cast<std::int64_t>(logits.size()), top, inverse, floor}, ids_.data(),
        masses_.data());
    if (cut) drop_ties(logits, floor, kept_ - options.top_k);
    if (options.top_p < 1.0F) keep_top_p(logits, options.top_p);
    const auto size = static_cast<std::size_t>(kept_);
    law.set_list({ids_.data(), size}, {masses_.data(), size});
  }

 private:
  static constexpr float lowest = -std::numeric_limits<float>::infinity();

  static float largest(std::span<const float> logits) {
    float top = lowest;
    if (!kernels().largest(logits.data(), static_cast<std::int64_t>(logits.size()), &top)) {
      const auto bad = std::find_if(logits.begin(), logits.end(), [](float l) {
        return !(l < std::numeric_limits<float>::infinity());
      });
      throw Error{ErrorCode::invalid_logits,
                  "logits: NaN or +Inf at token " + std::to_string(bad - logits.begin())};
    }
    expects(top > lowest, ErrorCode::empty_support,
            "logits: every token is -Inf after guidance and grammar");
    return top;
  }

  float kth_largest(std::span<const float> logits, std::int64_t k) {
    ordered_.assign(logits.begin(), logits.end());
    const auto kth = ordered_.begin() + (k - 1);
    std::nth_element(ordered_.begin(), kth, ordered_.end(), std::greater<>{});
    return *kth;
  }

  /// Drops the last `excess` of the tokens whose logit is exactly `floor`.
  void drop_ties(std::span<const float> logits, float floor, std::int64_t excess) {
    if (excess <= 0) return;
    const auto is_tie = [&](TokenId token) {
      return logits[static_cast<std::size_t>(token)] == floor;
    };
    std::int64_t left = std::count_if(ids_.begin(), ids_.begin() + kept_, is_tie) - excess;
    std::size_t out = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(kept_); ++i) {
      if (is_tie(ids_[i]) && left-- <= 0) continue;
      ids_[out] = ids_[i];
      masses_[out++] = masses_[i];
    }
    kept_ -= excess;
  }

  /// Keeps the smallest set of largest logits, lowest ids on a tie, whose mass reaches
  /// share x total; one token always stays.
  void keep_top_p(std::span<const float> logits, float share) {
    ranked_.resize(static_cast<std::size_t>(kept_));
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < ranked_.size(); ++i) {
      ranked_[i] = static_cast<std::int64_t>(i);
      total += masses_[i];
    }
    const auto logit = [&](std::int64_t i) {
      return logits[static_cast<std::size_t>(ids_[static_cast<std::size_t>(i)])];
    };
    std::sort(ranked_.begin(), ranked_.end(), [&](std::int64_t a, std::int64_t b) {
      return logit(a) > logit(b) || (logit(a) == logit(b) && a < b);
    });
    const double needed = static_cast<double>(share) * static_cast<double>(total);
    std::uint64_t reached = 0;
    std::size_t kept = 0;
    while (kept < ranked_.size() && (kept == 0 || static_cast<double>(reached) < needed)) {
      reached += masses_[static_cast<std::size_t>(ranked_[kept++])];
    }
    ranked_.resize(kept);
    std::sort(ranked_.begin(), ranked_.end());
    for (std::size_t i = 0; i < kept; ++i) {
      ids_[i] = ids_[static_cast<std::size_t>(ranked_[i])];
      masses_[i] = masses_[static_cast<std::size_t>(ranked_[i])];
    }
    kept_ = static_cast<std::int64_t>(kept);
  }

  std::int64_t kept_ = 0;
  std::vector<TokenId> ids_;           // [kept_], ascending; with room for what a kernel writes
  std::vector<std::uint32_t> masses_;  // [kept_], likewise
  std::vector<float> ordered_;         // [vocab], partly ordered
  std::vector<std::int64_t> ranked_;   // [kept], places in ids_ by logit descending
};

}  // namespace sjd::cpu
