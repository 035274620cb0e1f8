// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "kernels.hpp"
#include "parameters.hpp"

namespace sjd::train {

/// Sequences ready for the model: words left-padded to max_prompt, then <image>, then image tokens.
/// Rotation is relative, so padding on the left changes nothing that the exported weights mean.
struct Batch {
  std::int64_t sequences = 0;
  std::vector<std::int32_t> words;   ///< [sequences, max_prompt], -1 where padded
  std::vector<std::int32_t> first;   ///< [sequences] first row that is not padding
  std::vector<std::int32_t> tokens;  ///< [sequences, image_tokens], clean
  std::vector<std::int32_t> levels;  ///< [sequences, image_tokens], noise level of each input
  std::vector<float> weights;        ///< [sequences, image_tokens], of each target; they sum to 1
  std::vector<float> fed;  ///< [noisy inputs in order, hidden], what the noisy inputs are fed
};

/// Forward and backward pass of one worker, written out: the shapes never change, so every buffer
/// lives as long as the worker, and bf16 products (oneDNN) alternate with one-pass loops.
class Transformer {
 public:
  Transformer(const Weights& weights, std::int64_t sequences, float dropout);

  /// Returns -log p of every target [sequences, image_tokens]. With `gradient` [table.count()] the
  /// gradient of sum(weights * losses) is added to it and dropout is on; without it nothing is
  /// dropped.
  const std::vector<float>& run(const Batch& batch, std::uint32_t seed,
                                std::vector<float>* gradient);

 private:
  struct Layer {
    torch::Tensor normed, qkv, q, k, v, probabilities, attended;  ///< bf16
    torch::Tensor post_normed, gate_up, activated;                ///< bf16
    std::vector<float> inverse, head_inverse, post_inverse;       ///< 1/rms
    std::vector<float> entry, middle;  ///< residual stream [rows, hidden]
  };

  void allocate(Layer& layer) const;
  void allocate_shared();
  void embed(const Batch& batch);
  void embed_backward(const Batch& batch, std::vector<float>& gradient);
  void attention_forward(std::int64_t index, const Batch& batch);
  void attention_backward(std::int64_t index, const Batch& batch, std::vector<float>& gradient);
  void mlp_forward(std::int64_t index);
  void mlp_backward(std::int64_t index, std::vector<float>& gradient);
  void head(const Batch& batch, bool with_gradient);
  void head_backward(std::vector<float>& gradient);
  void norm_forward(std::int64_t step, const float* h, const Bf16* branch, float* h_next,
                    const std::string& name, torch::Tensor& normed, std::vector<float>& inverse);
  void norm_backward(std::int64_t step, const torch::Tensor& dnormed, const std::vector<float>& h,
                     const std::vector<float>& inverse, const std::string& name,
                     std::vector<float>& gradient);

  [[nodiscard]] Dropout dropout_at(std::int64_t step) const;
  [[nodiscard]] torch::Tensor weight(const std::string& name, std::int64_t rows) const;
  [[nodiscard]] const Bf16* bits(const std::string& name) const;
  /// gradient of `name` += dy^T x
  void add_weight_gradient(const torch::Tensor& dy, const torch::Tensor& x, const std::string& name,
                           std::vector<float>& gradient);

  const Weights& weights_;
  ModelShape shape_;
  AttentionShape attention_;
  float dropout_;
  std::uint32_t seed_ = 0;
  bool is_training_ = false;
  std::vector<float> cosine_, sine_;  ///< [length, head_dim/2]
  std::vector<Layer> layers_;
  std::vector<float> last_, last_inverse_;  ///< residual stream after the last layer
  std::vector<float> dh_;                   ///< gradient of the residual stream
  std::vector<float> losses_;
  torch::Tensor last_normed_, image_normed_, logits_, branch_, dbranch_;
  torch::Tensor dwide_, dqkv_, dnormed_, dscores_, dq_, dk_, dv_, heads_;
};

}  // namespace sjd::train
