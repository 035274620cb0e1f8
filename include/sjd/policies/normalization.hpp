// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "sjd/core/embedding_space.hpp"
#include "sjd/core/error.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/core/moments.hpp"
#include "sjd/model.hpp"
#include "sjd/policy.hpp"

namespace sjd {

/// A normalisation maps the embedding table to rows of zero mean and unit variance, and back.
///
/// - `normalize(table, contract, space)`: table [vocab, dim]; fills space.normalized, mean and
/// scale
/// - `per_channel`: compared with the checkpoint's
template <class P>
concept NormalizationPolicy = PolicyOf<P, role::normalization> &&
    requires(const P& policy, MatrixView<const float> table, const NoiseContract& contract,
             EmbeddingSpace& space) {
  policy.normalize(table, contract, space);
  { P::per_channel } -> std::convertible_to<bool>;
};

/// Every channel by its own mean and standard deviation over the image rows of the table.
///
/// The checkpoint's statistics are used where it stores them, else they are computed in two passes.
/// A channel without variance keeps scale 1.
struct PerChannelNormalization {
  using role = role::normalization;
  static constexpr bool per_channel = true;

  void normalize(MatrixView<const float> table, const NoiseContract& contract,
                 EmbeddingSpace& space) const {
    if (contract.mean.empty()) {
      channel_statistics(table, space);
    } else {
      space.mean.assign(contract.mean.begin(), contract.mean.end());
      space.scale.assign(contract.scale.begin(), contract.scale.end());
    }
    for (std::int64_t v = 0; v < table.rows; ++v) {
      const std::span<const float> e = table.row(v);
      float* out = space.normalized.data() + v * space.dim;
      for (std::size_t d = 0; d < e.size(); ++d) out[d] = (e[d] - space.mean[d]) / space.scale[d];
    }
  }

  friend bool operator==(const PerChannelNormalization&, const PerChannelNormalization&) = default;

 private:
  static void channel_statistics(MatrixView<const float> table, EmbeddingSpace& space) {
    for (std::int64_t d = 0; d < table.columns; ++d) {
      const Moments m = moments(table.data + d, table.rows, table.stride);
      space.mean[static_cast<std::size_t>(d)] = static_cast<float>(m.mean);
      space.scale[static_cast<std::size_t>(d)] = static_cast<float>(m.scale());
    }
  }
};

/// Every row by its own mean and standard deviation; the way back uses their averages over the
/// table. A row without variance becomes zero.
struct PerTokenNormalization {
  using role = role::normalization;
  static constexpr bool per_channel = false;

  void normalize(MatrixView<const float> table, const NoiseContract&, EmbeddingSpace& space) const {
    double all_means = 0.0;
    double all_scales = 0.0;
    for (std::int64_t v = 0; v < table.rows; ++v) {
      const std::span<const float> e = table.row(v);
      const Moments m = moments(e.data(), table.columns, 1);
      float* out = space.normalized.data() + v * space.dim;
      for (std::size_t d = 0; d < e.size(); ++d) {
        out[d] = static_cast<float>((e[d] - m.mean) / m.scale());
      }
      all_means += m.mean / static_cast<double>(table.rows);
      all_scales += m.scale() / static_cast<double>(table.rows);
    }
    std::fill(space.mean.begin(), space.mean.end(), static_cast<float>(all_means));
    std::fill(space.scale.begin(), space.scale.end(), static_cast<float>(all_scales));
  }

  friend bool operator==(const PerTokenNormalization&, const PerTokenNormalization&) = default;
};

/// The table as it is; for the ablation of the paper's Fig. 5.
struct NoNormalization {
  using role = role::normalization;
  static constexpr bool per_channel = false;

  void normalize(MatrixView<const float> table, const NoiseContract&, EmbeddingSpace& space) const {
    for (std::int64_t v = 0; v < table.rows; ++v) {
      const std::span<const float> e = table.row(v);
      std::copy(e.begin(), e.end(), space.normalized.begin() + v * space.dim);
    }
  }

  friend bool operator==(const NoNormalization&, const NoNormalization&) = default;
};

namespace detail {

/// Adds what the posterior of a token given its noisy embedding is computed from.
///
/// shapes  table [vocab, dim]; log_prior [vocab] or empty
inline void add_posterior(MatrixView<const float> table, std::span<const float> log_prior,
                          EmbeddingSpace& space) {
  space.scores = {space.vocab, space.dim, [&](std::int64_t v, std::int64_t d) {
                    return space.clean(v)[static_cast<std::size_t>(d)];
                  }};
  space.mixture = {space.dim, space.vocab, [&](std::int64_t d, std::int64_t v) {
                     return table.row(v)[static_cast<std::size_t>(d)];
                   }};
  const auto padded = static_cast<std::size_t>(space.scores.padded_outputs());
  space.log_prior.assign(padded, -std::numeric_limits<float>::infinity());
  std::fill_n(space.log_prior.begin(), space.vocab, 0.0F);
  std::copy(log_prior.begin(), log_prior.end(), space.log_prior.begin());
  space.half_square.assign(padded, 0.0F);
  for (std::int64_t v = 0; v < space.vocab; ++v) {
    float square = 0.0F;
    for (const float x : space.clean(v)) square = std::fma(x, x, square);
    space.half_square[static_cast<std::size_t>(v)] = 0.5F * square;
  }
}

}  // namespace detail

/// Builds the space that noise lives in.
///
/// shapes  table [vocab, dim]; contract.mean, scale [dim] or empty; contract.log_prior [vocab] or
///         empty
/// `posterior`: whether the noise feed asks for the posterior of a token; what only that needs
/// (scores, mixture, half_square, log_prior) stays empty otherwise.
///
/// memory  one float per table entry, three with the posterior, owned by the result
/// errors  contract if a given statistic has another length than the table says
template <NormalizationPolicy Normalization>
EmbeddingSpace make_embedding_space(MatrixView<const float> table, const NoiseContract& contract,
                                    const Normalization& normalization, bool posterior = true) {
  const auto dim = static_cast<std::size_t>(table.columns);
  const auto vocab = static_cast<std::size_t>(table.rows);
  const auto fits = [](std::span<const float> values, std::size_t size) {
    return values.empty() || values.size() == size;
  };
  expects(fits(contract.mean, dim) && contract.scale.size() == contract.mean.size() &&
              fits(contract.log_prior, vocab),
          ErrorCode::contract,
          "noise_contract: mean, scale [dim] or log_prior [vocab] has another length");
  EmbeddingSpace space;
  space.vocab = table.rows;
  space.dim = table.columns;
  space.normalized.resize(vocab * dim);
  space.mean.assign(dim, 0.0F);
  space.scale.assign(dim, 1.0F);
  normalization.normalize(table, contract, space);
  if (posterior) detail::add_posterior(table, contract.log_prior, space);
  return space;
}

}  // namespace sjd
