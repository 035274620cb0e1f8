// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include "sjd/core/numeric.hpp"
#include "sjd/cuda/detail/phases.hpp"
#include "sjd/cuda/logit_types.hpp"
#include "sjd/policies/noise_schedule.hpp"

namespace sjd::cuda {

/// What PosteriorMean needs on the device; scores null: the feed is RawNoise.
///
/// shapes  scores [dim, vocab], EmbeddingSpace::normalized with rows and columns exchanged;
///         half_square, log_prior [vocab]; embeddings [vocab, dim], as the host stores them;
///         weights [sequences x rows, vocab], scratch
struct PosteriorTable {
  const float* scores = nullptr;
  const float* half_square = nullptr;
  const float* log_prior = nullptr;
  const float* embeddings = nullptr;
  float* weights = nullptr;
};

namespace detail {

/// Shared memory of one posterior.
struct PosteriorShared {
  std::uint32_t tops[32];  // ordered keys of log weights
  float sums[16];          // of the weights of tokens v % 16
};

/// The mean of the table under the posterior of one noisy row, in the order of the CPU: every
/// product is one fma chain, the sum of weights runs in sixteen lanes and then as a tree.
struct PosteriorRow {
  const float* z = nullptr;  // [dim]
  float* weights = nullptr;  // [vocab]
  float* fed = nullptr;      // [dim]
  std::int64_t vocab = 0;
  std::int64_t dim = 0;

  SJD_DEVICE static void clear(PosteriorShared& s, int thread) {
    if (thread < 32) s.tops[thread] = 0;
  }

  /// A phase: log weights.
  SJD_DEVICE void score(const PosteriorTable& table, NoiseCoefficients noise, PosteriorShared& s,
                        int thread, int threads) const {
    const float rise = noise.alpha / (noise.sigma * noise.sigma);
    const float fall = -rise * noise.alpha;
    std::uint32_t top = 0;
    for (std::int64_t v = thread; v < vocab; v += threads) {
      float product = 0.0F;
      for (std::int64_t d = 0; d < dim; ++d) {
        product = std::fmaf(z[d], table.scores[d * vocab + v], product);
      }
      const float bias = std::fmaf(fall, table.half_square[v], table.log_prior[v]);
      weights[v] = std::fmaf(rise, product, bias);
      const std::uint32_t key = ordered_key(weights[v]);
      top = top < key ? key : top;
    }
    atomic_max(s.tops[thread % 32], top);
  }

  /// A phase: weights relative to the largest one.
  SJD_DEVICE void weigh(const PosteriorShared& s, int thread, int threads) const {
    std::uint32_t top = s.tops[0];
    for (const std::uint32_t other : s.tops) top = top < other ? other : top;
    const float most = key_value(top);
    for (std::int64_t v = thread; v < vocab; v += threads) {
      weights[v] = exp_nonpositive(weights[v] - most);
    }
  }

  /// A phase: the sums of sixteen lanes.
  SJD_DEVICE void add(PosteriorShared& s, int thread) const {
    if (thread >= 16) return;
    float sum = 0.0F;
    for (std::int64_t v = thread; v < vocab; v += 16) sum += weights[v];
    s.sums[thread] = sum;
  }

  /// A phase: weights become shares.
  SJD_DEVICE void share(const PosteriorShared& s, int thread, int threads) const {
    float sums[16];
    for (int i = 0; i < 16; ++i) sums[i] = s.sums[i];
    for (int i = 0; i < 8; ++i) sums[i] += sums[i + 8];
    for (int i = 0; i < 4; ++i) sums[i] += sums[i + 4];
    for (int i = 0; i < 2; ++i) sums[i] += sums[i + 2];
    const float share = 1.0F / (sums[0] + sums[1]);
    for (std::int64_t v = thread; v < vocab; v += threads) weights[v] *= share;
  }

  /// A phase: the mean.
  SJD_DEVICE void mix(const PosteriorTable& table, int thread, int threads) const {
    for (std::int64_t d = thread; d < dim; d += threads) {
      float mean = 0.0F;
      for (std::int64_t v = 0; v < vocab; ++v) {
        mean = std::fmaf(weights[v], table.embeddings[v * dim + d], mean);
      }
      fed[d] = mean;
    }
  }
};

}  // namespace detail

}  // namespace sjd::cuda
