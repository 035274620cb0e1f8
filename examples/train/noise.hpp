// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "parameters.hpp"
#include "sjd/policies/noise_schedule.hpp"
#include "sjd/training/segments.hpp"
#include "transformer.hpp"

namespace sjd::train {

/// What the host is fed for a noisy slot (docs/checkpoint.md, Noise).
enum class Feed { raw, posterior_mean };

[[nodiscard]] Feed feed_from_name(const std::string& name);
[[nodiscard]] const char* name_of(Feed feed);

/// What a checkpoint was trained with; none if it saw no noise, or does not say.
[[nodiscard]] std::optional<Feed> feed_of_checkpoint(const TensorMap& tensors);

/// The feed of a stage: `trained` if there is one, else what `--feed` asks for ("none": the
/// posterior mean).
///
/// throws  std::invalid_argument if --feed asks for another one than the checkpoint was trained
/// with
[[nodiscard]] Feed choose_feed(const std::string& asked, std::optional<Feed> trained);

/// The noise contract of one checkpoint: normalised table, code prior, schedule and feed.
class NoiseFrontEnd {
 public:
  /// image_embedding [vocabulary, hidden] fp32, log_prior [vocabulary] fp32.
  NoiseFrontEnd(const torch::Tensor& image_embedding, torch::Tensor log_prior, Feed feed);

  /// z = alpha ebar(token) + sigma eps of each noisy slot. [count, hidden]
  [[nodiscard]] torch::Tensor perturb(const std::vector<std::int32_t>& tokens,
                                      const std::vector<std::int32_t>& levels,
                                      std::mt19937_64& engine) const;
  /// Weights of the posterior over the table. z [count, hidden] -> [count, vocabulary]
  [[nodiscard]] torch::Tensor posterior(const torch::Tensor& z,
                                        const std::vector<std::int32_t>& levels) const;
  /// z [count, hidden] -> what the model is fed [count, hidden]
  [[nodiscard]] torch::Tensor fed(const torch::Tensor& z,
                                  const std::vector<std::int32_t>& levels) const;

  /// Draws a layout for every sequence, fills levels and fed vectors; targets beyond the window get
  /// weight 0.
  void apply(const training::SegmentOptions& options, std::mt19937_64& engine, Batch& batch) const;
  /// Fills batch.fed for the levels that batch already has.
  void feed(std::mt19937_64& engine, Batch& batch) const;

  [[nodiscard]] const torch::Tensor& mean() const { return mean_; }
  [[nodiscard]] const torch::Tensor& scale() const { return scale_; }
  [[nodiscard]] const torch::Tensor& log_prior() const { return log_prior_; }

 private:
  torch::Tensor embedding_;   ///< [vocabulary, hidden]
  torch::Tensor mean_;        ///< [hidden]
  torch::Tensor scale_;       ///< [hidden]
  torch::Tensor normalized_;  ///< ebar [vocabulary, hidden]
  torch::Tensor square_;      ///< |ebar|^2 [vocabulary]
  torch::Tensor log_prior_;   ///< [vocabulary]
  Feed feed_;
  KarrasSchedule schedule_;
};

}  // namespace sjd::train
