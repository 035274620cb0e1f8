// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <random>
#include <vector>

#include "parameters.hpp"
#include "safetensors_io.hpp"

namespace sjd::train {

/// The model of docs/checkpoint.md in fp32, told with plain tensor operations and a KV cache: draws
/// sample pictures while training runs, and is the reference that other hosts are compared with.
class Inference {
 public:
  /// `weights` by their names in a model directory, any float type.
  Inference(const ModelShape& shape, const TensorMap& weights);

  /// Forgets the cache. first [sequences]: rows before it are padding that nothing looks at.
  void start(std::vector<std::int32_t> first);

  /// Appends rows and returns their logits. inputs [sequences, rows, hidden] -> [sequences, rows,
  /// codes]
  torch::Tensor forward(const torch::Tensor& inputs);

  /// Inputs of the padded words (-1 is padding) and <image>. [sequences, max_prompt + 1, hidden]
  [[nodiscard]] torch::Tensor embed_prompts(const std::vector<std::int32_t>& words) const;
  /// Inputs of x_position. tokens [sequences] int64 -> [sequences, 1, hidden]
  [[nodiscard]] torch::Tensor embed_tokens(const torch::Tensor& tokens,
                                           std::int64_t position) const;
  /// Inputs of fed vectors at one position. vectors [sequences, hidden], level >= 1
  [[nodiscard]] torch::Tensor embed_fed(const torch::Tensor& vectors, std::int64_t level,
                                        std::int64_t position) const;

  [[nodiscard]] const torch::Tensor& weight(const std::string& name) const {
    return weights_.at(name);
  }
  [[nodiscard]] const ModelShape& shape() const { return shape_; }

 private:
  torch::Tensor attention(std::int64_t layer, const torch::Tensor& normed);
  [[nodiscard]] torch::Tensor norm(const torch::Tensor& x, const std::string& name) const;
  [[nodiscard]] torch::Tensor rotate(const torch::Tensor& x) const;

  ModelShape shape_;
  TensorMap weights_;
  std::vector<std::int32_t> first_;
  std::vector<torch::Tensor> keys_, values_;  ///< per layer [sequences, kv_heads, cached, head_dim]
  torch::Tensor mask_;                        ///< [sequences, 1, rows, cached], 0 or -inf
  std::int64_t cached_ = 0;
};

/// Draws pictures token by token at temperature 1, with guidance when `guidance` is not 1.
/// words [sequences, max_prompt] left-padded with -1; returns codes [sequences, image_tokens]
/// int64.
[[nodiscard]] torch::Tensor draw_pictures(Inference& model, const std::vector<std::int32_t>& words,
                                          double guidance, std::mt19937_64& engine);

/// Codes [pictures, image_tokens] -> [pictures, 64, 64, 3] uint8, by decoder.safetensors.
[[nodiscard]] torch::Tensor paint_codes(const TensorMap& decoder, const torch::Tensor& codes,
                                        const ModelShape& shape);

/// Weights of a checkpoint as a model directory holds them: bf16 but for the padding of fp32
/// tensors.
[[nodiscard]] TensorMap rounded_tensors(const Weights& weights, const std::vector<float>& source);

}  // namespace sjd::train
