// SPDX-License-Identifier: Apache-2.0
#include "peers.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#if __has_include(<Eigen/Core>)
#define SJD_BENCH_EIGEN 1
#include <Eigen/Core>
#else
#define SJD_BENCH_EIGEN 0
#endif

namespace sjd::bench {

bool EigenSampler::available() {
  return SJD_BENCH_EIGEN != 0;
}

std::int32_t EigenSampler::sample(const PeerRow& row) {
#if SJD_BENCH_EIGEN
  using Map = Eigen::Map<const Eigen::ArrayXf>;
  const auto size = static_cast<Eigen::Index>(row.conditional.size());
  const Map c{row.conditional.data(), size}, u{row.unconditional.data(), size};
  Eigen::ArrayXf z = (u + row.scale * (c - u)) / row.temperature;
  Eigen::ArrayXf ordered = z;
  std::nth_element(ordered.data(), ordered.data() + row.top_k - 1, ordered.data() + size,
                   std::greater<>{});
  const float threshold = ordered[row.top_k - 1];
  z = (z < threshold).select(-std::numeric_limits<float>::infinity(), z);
  z = (z - z.maxCoeff()).exp();
  z /= z.sum();
  law_.assign(z.data(), z.data() + size);
  float left = std::uniform_real_distribution<float>{}(random_);
  for (Eigen::Index v = 0; v < size; ++v) {
    left -= z[v];
    if (left < 0.0F) return static_cast<std::int32_t>(v);
  }
  return static_cast<std::int32_t>(size - 1);
#else
  static_cast<void>(row);
  return -1;
#endif
}

std::int32_t ChainSampler::sample(const PeerRow& row) {
  candidates_.resize(row.conditional.size());
  for (std::size_t v = 0; v < candidates_.size(); ++v) {
    const float u = row.unconditional[v];
    candidates_[v] = {static_cast<std::int32_t>(v), u + row.scale * (row.conditional[v] - u), 0.0F};
  }
  keep_top(static_cast<std::size_t>(row.top_k));
  for (Candidate& candidate : candidates_) candidate.logit /= row.temperature;
  softmax();
  std::vector<float> shares(candidates_.size());
  for (std::size_t i = 0; i < shares.size(); ++i) shares[i] = candidates_[i].p;
  std::discrete_distribution<int> draw(shares.begin(), shares.end());
  return candidates_[static_cast<std::size_t>(draw(random_))].id;
}

void ChainSampler::keep_top(std::size_t k) {
  constexpr int buckets = 128;
  constexpr float least = -10.0F, most = 10.0F;
  const auto bucket_of = [](float logit) {
    const float place = (logit - least) * (buckets / (most - least));
    return std::clamp(static_cast<int>(place), 0, buckets - 1);
  };
  std::array<std::size_t, buckets> held{};
  std::vector<int> bucket(candidates_.size());
  for (std::size_t v = 0; v < candidates_.size(); ++v) {
    bucket[v] = bucket_of(candidates_[v].logit);
    ++held[static_cast<std::size_t>(bucket[v])];
  }
  // From the top bucket down to the one that holds the k-th.
  std::array<std::size_t, buckets> start{};
  std::size_t total = 0;
  int lowest = buckets;
  while (lowest > 0 && total < k) {
    --lowest;
    start[static_cast<std::size_t>(lowest)] = total;
    total += held[static_cast<std::size_t>(lowest)];
  }
  sorted_.resize(total);
  std::array<std::size_t, buckets> next = start;
  for (std::size_t v = 0; v < candidates_.size(); ++v) {
    if (bucket[v] >= lowest) {
      sorted_[next[static_cast<std::size_t>(bucket[v])]++] = candidates_[v];
    }
  }
  const auto larger = [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; };
  for (int b = buckets - 1; b >= lowest; --b) {
    const auto index = static_cast<std::size_t>(b);
    const auto begin = sorted_.begin() + static_cast<std::ptrdiff_t>(start[index]);
    const auto end = begin + static_cast<std::ptrdiff_t>(held[index]);
    if (b > lowest) {
      std::sort(begin, end, larger);
    } else {
      std::partial_sort(begin, sorted_.begin() + static_cast<std::ptrdiff_t>(std::min(k, total)),
                        end, larger);
    }
  }
  sorted_.resize(std::min(k, total));
  std::swap(candidates_, sorted_);
}

void ChainSampler::softmax() {
  float sum = 0.0F;
  for (Candidate& candidate : candidates_) {
    candidate.p = std::exp(candidate.logit - candidates_.front().logit);
    sum += candidate.p;
  }
  for (Candidate& candidate : candidates_) candidate.p /= sum;
}

}  // namespace sjd::bench
