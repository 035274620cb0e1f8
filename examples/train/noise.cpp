// SPDX-License-Identifier: Apache-2.0
#include "noise.hpp"

#include <ATen/Functions.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace sjd::train {

Feed feed_from_name(const std::string& name) {
  if (name == "posterior_mean") return Feed::posterior_mean;
  if (name == "raw") return Feed::raw;
  throw std::invalid_argument("--feed is posterior_mean or raw, not " + name);
}

const char* name_of(Feed feed) {
  return feed == Feed::raw ? "raw" : "posterior_mean";
}

std::optional<Feed> feed_of_checkpoint(const TensorMap& tensors) {
  const auto found = tensors.find("state.feed");
  if (found == tensors.end()) return std::nullopt;
  return found->second.data_ptr<std::int32_t>()[0] == 0 ? Feed::raw : Feed::posterior_mean;
}

Feed choose_feed(const std::string& asked, std::optional<Feed> trained) {
  if (asked == "none") return trained.value_or(Feed::posterior_mean);
  const Feed feed = feed_from_name(asked);
  if (trained && *trained != feed) {
    throw std::invalid_argument("--feed " + asked + ": the checkpoint was trained with " +
                                name_of(*trained) + "; leave --feed out");
  }
  return feed;
}

NoiseFrontEnd::NoiseFrontEnd(const torch::Tensor& image_embedding, torch::Tensor log_prior,
                             Feed feed)
    : embedding_{image_embedding.contiguous()},
      mean_{embedding_.mean(0)},
      scale_{embedding_.std(0, /*unbiased=*/false)},
      normalized_{((embedding_ - mean_) / scale_).contiguous()},
      square_{normalized_.square().sum(1)},
      log_prior_{std::move(log_prior)},
      feed_{feed} {}

torch::Tensor NoiseFrontEnd::perturb(const std::vector<std::int32_t>& tokens,
                                     const std::vector<std::int32_t>& levels,
                                     std::mt19937_64& engine) const {
  const auto count = static_cast<std::int64_t>(tokens.size());
  const std::int64_t hidden = embedding_.size(1);
  torch::Tensor z = torch::empty({count, hidden});
  auto* out = z.data_ptr<float>();
  std::normal_distribution<float> normal;
  const auto* table = normalized_.data_ptr<float>();
  for (std::int64_t i = 0; i < count; ++i) {
    const NoiseCoefficients noise = schedule_.coefficients(levels[static_cast<std::size_t>(i)]);
    const float* clean = table + tokens[static_cast<std::size_t>(i)] * hidden;
    for (std::int64_t j = 0; j < hidden; ++j) {
      *out++ = noise.alpha * clean[j] + noise.sigma * normal(engine);
    }
  }
  return z;
}

torch::Tensor NoiseFrontEnd::posterior(const torch::Tensor& z,
                                       const std::vector<std::int32_t>& levels) const {
  torch::Tensor linear = torch::empty({z.size(0), 1});
  torch::Tensor quadratic = torch::empty({z.size(0), 1});
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const NoiseCoefficients noise = schedule_.coefficients(levels[i]);
    const float precision = noise.alpha / (noise.sigma * noise.sigma);
    linear.data_ptr<float>()[i] = precision;
    quadratic.data_ptr<float>()[i] = 0.5F * precision * noise.alpha;
  }
  const torch::Tensor products = at::mm(z, normalized_.t());  // [count, vocabulary]
  return at::softmax(products * linear - quadratic * square_ + log_prior_, 1);
}

torch::Tensor NoiseFrontEnd::fed(const torch::Tensor& z,
                                 const std::vector<std::int32_t>& levels) const {
  if (feed_ == Feed::raw) return z * scale_ + mean_;
  return at::mm(posterior(z, levels), embedding_);
}

void NoiseFrontEnd::apply(const training::SegmentOptions& options, std::mt19937_64& engine,
                          Batch& batch) const {
  std::uniform_real_distribution<double> distribution{0.0, 1.0};
  const std::int64_t count = static_cast<std::int64_t>(batch.tokens.size()) / batch.sequences;
  for (std::int64_t s = 0; s < batch.sequences; ++s) {
    const std::span<std::int32_t> levels{batch.levels.data() + s * count,
                                         static_cast<std::size_t>(count)};
    const auto layout =
        training::sample_levels(options, levels, [&] { return distribution(engine); });
    // The row of x_i predicts x_(i+1): the last row of the window judges the target at window_end.
    for (std::int64_t i = layout.window_end + 1; i < count; ++i)
      batch.weights[s * count + i] = 0.0F;
  }
  feed(engine, batch);
}

void NoiseFrontEnd::feed(std::mt19937_64& engine, Batch& batch) const {
  const std::int64_t count = static_cast<std::int64_t>(batch.tokens.size()) / batch.sequences;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> levels;
  for (std::int64_t s = 0; s < batch.sequences; ++s) {
    for (std::int64_t i = s * count; i + 1 < (s + 1) * count; ++i) {
      if (batch.levels[i] == 0) continue;
      tokens.push_back(batch.tokens[i]);
      levels.push_back(batch.levels[i]);
    }
  }
  batch.fed.clear();
  if (tokens.empty()) return;
  const torch::Tensor vectors = fed(perturb(tokens, levels, engine), levels).contiguous();
  batch.fed.assign(vectors.data_ptr<float>(), vectors.data_ptr<float>() + vectors.numel());
}

}  // namespace sjd::train
