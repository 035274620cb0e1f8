// SPDX-License-Identifier: Apache-2.0
#include "peers.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <span>

#if __has_include(<Eigen/Core>)
#define SJD_BENCH_EIGEN 1
#include <Eigen/Core>
#else
#define SJD_BENCH_EIGEN 0
#endif

namespace sjd::bench {
namespace {

constexpr int buckets = 128;

/// Where a logit lies between -10 and 10.
int bucket_of(float logit) {
  constexpr float least = -10.0F, most = 10.0F;
  const float place = (logit - least) * (buckets / (most - least));
  return std::clamp(static_cast<int>(place), 0, buckets - 1);
}

/// The top buckets, down to the one that holds the k-th candidate.
struct TopBuckets {
  std::array<std::size_t, buckets> held{};   ///< candidates of each bucket
  std::array<std::size_t, buckets> start{};  ///< candidates of those above it
  int lowest = buckets;
  std::size_t total = 0;  ///< candidates from `lowest` up
};

/// Writes the bucket of every candidate as well.
TopBuckets top_buckets(std::span<const ChainSampler::Candidate> candidates, std::size_t k,
                       std::span<int> out_bucket) {
  TopBuckets top;
  for (std::size_t v = 0; v < candidates.size(); ++v) {
    out_bucket[v] = bucket_of(candidates[v].logit);
    ++top.held[static_cast<std::size_t>(out_bucket[v])];
  }
  while (top.lowest > 0 && top.total < k) {
    --top.lowest;
    top.start[static_cast<std::size_t>(top.lowest)] = top.total;
    top.total += top.held[static_cast<std::size_t>(top.lowest)];
  }
  return top;
}

/// Puts candidates that lie by bucket in descending order, the first k of them at least.
void sort_buckets(const TopBuckets& top, std::size_t k,
                  std::span<ChainSampler::Candidate> inout_candidates) {
  using Candidate = ChainSampler::Candidate;
  const auto larger = [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; };
  for (int b = buckets - 1; b >= top.lowest; --b) {
    const auto index = static_cast<std::size_t>(b);
    const auto begin = inout_candidates.begin() + static_cast<std::ptrdiff_t>(top.start[index]);
    const auto end = begin + static_cast<std::ptrdiff_t>(top.held[index]);
    if (b > top.lowest) {
      std::sort(begin, end, larger);
    } else {
      const std::size_t kept = std::min(k, top.total);
      std::partial_sort(begin, inout_candidates.begin() + static_cast<std::ptrdiff_t>(kept), end,
                        larger);
    }
  }
}

}  // namespace

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
  std::vector<int> bucket(candidates_.size());
  const TopBuckets top = top_buckets(candidates_, k, bucket);
  sorted_.resize(top.total);
  std::array<std::size_t, buckets> next = top.start;
  for (std::size_t v = 0; v < candidates_.size(); ++v) {
    if (bucket[v] >= top.lowest) {
      sorted_[next[static_cast<std::size_t>(bucket[v])]++] = candidates_[v];
    }
  }
  sort_buckets(top, k, sorted_);
  sorted_.resize(std::min(k, top.total));
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
