// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include "sjd/core/embedding_space.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/cpu/kernels.hpp"
#include "sjd/policies/noise_schedule.hpp"
#include "sjd/policy.hpp"

namespace sjd {

/// A slot whose embedding is noise.
struct NoisyRow {
  std::span<const float> z;  ///< [dim], normalised
  NoiseCoefficients noise;
};

/// What the host sees for noisy slots.
///
/// - `feed(space, rows, scratch, fed)`: rows [n] of a pass; scratch: grows to what is needed and
///   keeps it; fed [n, dim], overwritten, in the scale of the host's own embeddings. A row of `fed`
///   may depend on its own row only.
/// - `posterior_mean`: compared with the checkpoint's; only if true has the space the tables of the
///   posterior
template <class P>
concept NoiseFeedPolicy = PolicyOf<P, role::noise_feed> &&
    requires(const P& policy, const EmbeddingSpace& space, std::span<const NoisyRow> rows,
             std::vector<float>& scratch, MatrixView<float> fed) {
  policy.feed(space, rows, scratch, fed);
  { P::posterior_mean } -> std::convertible_to<bool>;
};

/// The noisy embedding itself, de-normalised.
///
/// source  arXiv 2510.08994
struct RawNoise {
  using role = role::noise_feed;
  static constexpr bool posterior_mean = false;

  void feed(const EmbeddingSpace& space, std::span<const NoisyRow> rows, std::vector<float>&,
            MatrixView<float> fed) const {
    for (std::size_t n = 0; n < rows.size(); ++n) {
      const std::span<float> out = fed.row(static_cast<std::int64_t>(n));
      for (std::size_t d = 0; d < out.size(); ++d) {
        out[d] = std::fma(rows[n].z[d], space.scale[d], space.mean[d]);
      }
    }
  }

  friend bool operator==(const RawNoise&, const RawNoise&) = default;
};

/// The mean of the table under the posterior of the token given z: Gaussian likelihood times the
/// codes' prior.
///
/// w = softmax_v(alpha/sigma^2 <z, ebar(v)> - alpha^2/(2 sigma^2) |ebar(v)|^2 + log_prior(v)),
/// fed = sum_v w_v E(v): two products for all rows of a pass. Every sum runs in a fixed order, so a
/// row depends on its z alone, whatever stands in the batch.
struct PosteriorMean {
  using role = role::noise_feed;
  static constexpr bool posterior_mean = true;

  void feed(const EmbeddingSpace& space, std::span<const NoisyRow> rows,
            std::vector<float>& scratch, MatrixView<float> fed) const {
    const auto count = static_cast<std::int64_t>(rows.size());
    const std::int64_t vocab = space.scores.padded_outputs();
    const std::int64_t wide = space.mixture.padded_outputs();
    scratch.resize(static_cast<std::size_t>(count * (wide + vocab)));
    const MatrixView<float> weights{scratch.data(), count, vocab};
    const MatrixView<float> mixed{scratch.data() + count * vocab, count, wide};
    for (std::int64_t n = 0; n < count; ++n) {
      const NoisyRow& row = rows[static_cast<std::size_t>(n)];
      std::copy(row.z.begin(), row.z.end(), mixed.row(n).begin());
    }
    space.scores.multiply(mixed, weights);
    for (std::int64_t n = 0; n < count; ++n) {
      const NoiseCoefficients noise = rows[static_cast<std::size_t>(n)].noise;
      const float rise = noise.alpha / (noise.sigma * noise.sigma);
      cpu::kernels().posterior(weights.row(n).data(), rise, -rise * noise.alpha,
                               space.half_square.data(), space.log_prior.data(), vocab);
    }
    space.mixture.multiply(weights, mixed);
    for (std::int64_t n = 0; n < count; ++n) {
      std::copy_n(mixed.row(n).begin(), space.dim, fed.row(n).begin());
    }
  }

  friend bool operator==(const PosteriorMean&, const PosteriorMean&) = default;
};

}  // namespace sjd
