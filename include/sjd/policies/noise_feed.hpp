// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include "sjd/core/embedding_space.hpp"
#include "sjd/core/numeric.hpp"
#include "sjd/policies/noise_schedule.hpp"
#include "sjd/policy.hpp"

namespace sjd {

/// What the host sees for a noisy slot.
///
/// `feed(space, noise, z, weights, fed)`: z [dim] normalised noisy embedding; weights [vocab]
/// scratch; fed [dim], overwritten, in the scale of the host's own embeddings.
template <class P>
concept NoiseFeedPolicy = PolicyOf<P, role::noise_feed> &&
    requires(const P& policy, const EmbeddingSpace& space, NoiseCoefficients noise,
             std::span<const float> z, std::span<float> out) {
  policy.feed(space, noise, z, out, out);
};

/// The noisy embedding itself, de-normalised.
///
/// source  arXiv 2510.08994
struct RawNoise {
  using role = role::noise_feed;
  static constexpr bool posterior_mean = false;

  void feed(const EmbeddingSpace& space, NoiseCoefficients, std::span<const float> z,
            std::span<float>, std::span<float> fed) const {
    for (std::size_t d = 0; d < fed.size(); ++d) {
      fed[d] = std::fma(z[d], space.scale[d], space.mean[d]);
    }
  }

  friend bool operator==(const RawNoise&, const RawNoise&) = default;
};

/// The mean of the table under the posterior of the token given z: Gaussian likelihood times the
/// codes' prior.
///
/// w = softmax_v(alpha/sigma^2 <z, ebar(v)> - alpha^2/(2 sigma^2) |ebar(v)|^2 + log_prior(v)),
/// fed = sum_v w_v E(v). Every sum runs in a fixed order, so the result depends on z alone,
/// whatever stands in the batch.
struct PosteriorMean {
  using role = role::noise_feed;
  static constexpr bool posterior_mean = true;

  void feed(const EmbeddingSpace& space, NoiseCoefficients noise, std::span<const float> z,
            std::span<float> weights, std::span<float> fed) const {
    const float slope = noise.alpha / (noise.sigma * noise.sigma);
    const auto vocab = static_cast<std::size_t>(space.vocab);
    for (std::size_t v = 0; v < vocab; ++v) {
      weights[v] = std::fma(-slope * noise.alpha, space.half_square[v], space.log_prior[v]);
    }
    for (std::size_t d = 0; d < z.size(); ++d) {
      add_scaled(slope * z[d], space.transposed.data() + d * vocab, weights);
    }
    const float top = *std::max_element(weights.begin(), weights.end());
    float sum = 0.0F;
    for (float& w : weights) {
      w = exp_nonpositive(w - top);
      sum += w;
    }
    std::fill(fed.begin(), fed.end(), 0.0F);
    for (std::size_t v = 0; v < vocab; ++v) {
      if (weights[v] > negligible) {
        add_scaled(weights[v] / sum, space.table.data() + v * fed.size(), fed);
      }
    }
  }

  friend bool operator==(const PosteriorMean&, const PosteriorMean&) = default;

 private:
  /// Tokens this far below the likeliest one cannot be seen in the mean.
  static constexpr float negligible = 1.0e-6F;

  /// sum += factor * values, both [sum.size()].
  static void add_scaled(float factor, const float* values, std::span<float> sum) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = std::fma(factor, values[i], sum[i]);
  }
};

}  // namespace sjd
