// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace sjd::bench {

/// What both samplers below are asked for: guidance of two branches, temperature, top-k, a draw,
/// and the law that it was drawn from.
struct PeerRow {
  std::span<const float> conditional;    ///< [vocab]
  std::span<const float> unconditional;  ///< [vocab]
  float scale = 1.0F;
  float temperature = 1.0F;
  std::int64_t top_k = 0;
};

/// A row as one writes it with Eigen: whole arrays, nth_element for the threshold, a dense law.
class EigenSampler {
 public:
  [[nodiscard]] static bool available();
  [[nodiscard]] std::int32_t sample(const PeerRow& row);

 private:
  std::mt19937 random_{1};
  std::vector<float> law_;  // [vocab]
};

/// A row as a chain of samplers over {id, logit, p} works it: buckets of the logit narrow what must
/// be sorted, softmax over what is left, a discrete distribution.
class ChainSampler {
 public:
  struct Candidate {
    std::int32_t id = 0;
    float logit = 0.0F;
    float p = 0.0F;
  };

  [[nodiscard]] std::int32_t sample(const PeerRow& row);

 private:
  void keep_top(std::size_t k);
  void softmax();

  std::mt19937 random_{1};
  std::vector<Candidate> candidates_;  // [vocab], then [k] descending
  std::vector<Candidate> sorted_;
};

}  // namespace sjd::bench
