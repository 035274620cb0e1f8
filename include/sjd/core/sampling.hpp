// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/mass.hpp"
#include "sjd/core/matrix_view.hpp"

namespace sjd {

/// Filters between guided logits and the law that tokens are drawn from.
///
/// Order everywhere: guidance, grammar, temperature, top-k, top-p, masses. Drafts go through the
/// same chain.
struct SamplingOptions {
  float temperature = 1.0F;  ///< > 0; 0 = all mass on the largest logit, lowest id on a tie
  std::int64_t top_k = 0;    ///< keep the k largest logits, lowest ids on a tie; 0 = off
  float top_p = 1.0F;  ///< keep the smallest set of largest masses that reaches this share; 1 = off

  void validate() const {
    expects(temperature >= 0.0F && std::isfinite(temperature), ErrorCode::invalid_argument,
            "SamplingOptions: temperature must be finite and >= 0");
    expects(top_k >= 0, ErrorCode::invalid_argument, "SamplingOptions: top_k must be >= 0");
    expects(top_p > 0.0F && top_p <= 1.0F, ErrorCode::invalid_argument,
            "SamplingOptions: top_p must be in (0, 1]");
  }

  friend bool operator==(const SamplingOptions&, const SamplingOptions&) = default;
};

/// Classifier-free guidance of N branches: u + sum_b s_b (l_b - u), u the last branch.
///
/// shapes  branches [scales.size() + 1, vocab]; guided [vocab], overwritten
/// edge    a token that is -Inf in every branch stays -Inf; one that is +Inf in any branch is never
///         masked by a negative scale: it becomes +Inf or NaN; no scales: a copy of branch 0
/// source  arXiv 2207.12598 for one scale
inline void guide(MatrixView<const float> branches, std::span<const float> scales,
                  std::span<float> guided) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::span<const float> u = branches.row(branches.rows - 1);
  std::copy_n(u.data(), guided.size(), guided.data());
  for (std::size_t b = 0; b < scales.size(); ++b) {
    const std::span<const float> row = branches.row(static_cast<std::int64_t>(b));
    for (std::size_t v = 0; v < guided.size(); ++v) {
      const float difference = row[v] - u[v];  // taken in any case, so that the loop vectorizes
      const float step = row[v] != u[v] ? difference : 0.0F;
      const float moved = std::fma(scales[b], step, guided[v]);
      guided[v] = row[v] == infinity ? infinity : moved;
    }
  }
}

/// Buffers that turn one row of logits into a law; reused from row to row.
class LawBuilder {
 public:
  /// The law of one row after temperature, top-k and top-p.
  ///
  /// shapes  logits [vocab]; scratch, overwritten
  /// edge    -Inf has no mass; temperature 0 is a point law
  /// errors  invalid_logits at NaN or +Inf, empty_support if every logit is -Inf
  void build(std::span<float> logits, const SamplingOptions& options, TokenLaw& law) {
    const std::size_t best = find_largest(logits);
    if (options.temperature == 0.0F) {
      law.set_point(static_cast<TokenId>(best));
      return;
    }
    // Differences first: the largest logit then has exactly 0, at any temperature and any shift.
    const float inverse = std::min(1.0F / options.temperature, std::numeric_limits<float>::max());
    const float top = logits[best];
    masses_.resize(logits.size());
    for (std::size_t v = 0; v < logits.size(); ++v) {
      masses_[v] = mass_of((logits[v] - top) * inverse);
    }
    if (options.top_k > 0 || options.top_p < 1.0F) {
      rank(logits, options.top_k);
      keep_top_p(options.top_p);
      drop_unranked();
    }
    law.set_masses(masses_);
  }

 private:
  /// Index of the largest logit, lowest on a tie.
  static std::size_t find_largest(std::span<const float> logits) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    std::size_t best = 0;
    bool any = false;
    for (std::size_t v = 0; v < logits.size(); ++v) {
      if (!(logits[v] < infinity)) {
        throw Error{ErrorCode::invalid_logits, "logits: NaN or +Inf at token " + std::to_string(v)};
      }
      if (logits[v] == -infinity) continue;
      if (!any || logits[v] > logits[best]) best = v;
      any = true;
    }
    expects(any, ErrorCode::empty_support,
            "logits: every token is -Inf after guidance and grammar");
    return best;
  }

  /// Token ids by (logit descending, id ascending), cut to the k first.
  void rank(std::span<const float> logits, std::int64_t k) {
    ranked_.resize(logits.size());
    for (std::size_t v = 0; v < logits.size(); ++v) ranked_[v] = static_cast<TokenId>(v);
    const auto before = [&](TokenId a, TokenId b) {
      const float x = logits[static_cast<std::size_t>(a)];
      const float y = logits[static_cast<std::size_t>(b)];
      return x > y || (x == y && a < b);
    };
    if (k > 0 && static_cast<std::size_t>(k) < ranked_.size()) {
      std::nth_element(ranked_.begin(), ranked_.begin() + k, ranked_.end(), before);
      ranked_.resize(static_cast<std::size_t>(k));
    }
    std::sort(ranked_.begin(), ranked_.end(), before);
  }

  /// Cuts the ranked list behind the first prefix whose mass reaches share x total; one token
  /// always stays.
  void keep_top_p(float share) {
    if (share >= 1.0F) return;
    std::uint64_t total = 0;
    for (const TokenId v : ranked_) total += masses_[static_cast<std::size_t>(v)];
    const double needed = static_cast<double>(share) * static_cast<double>(total);
    std::uint64_t reached = 0;
    std::size_t kept = 0;
    while (kept < ranked_.size() && (kept == 0 || static_cast<double>(reached) < needed)) {
      reached += masses_[static_cast<std::size_t>(ranked_[kept++])];
    }
    ranked_.resize(kept);
  }

  /// Takes the mass of every token that is not in the ranked list.
  void drop_unranked() {
    kept_.assign(masses_.size(), 0);
    for (const TokenId v : ranked_) {
      kept_[static_cast<std::size_t>(v)] = masses_[static_cast<std::size_t>(v)];
    }
    masses_.swap(kept_);
  }

  std::vector<std::uint32_t> masses_;  // [vocab]
  std::vector<std::uint32_t> kept_;    // [vocab], masses behind the filters
  std::vector<TokenId> ranked_;        // [kept], by logit descending
};

}  // namespace sjd
