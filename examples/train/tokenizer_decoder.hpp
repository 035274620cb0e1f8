// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn.h>

#include <array>

#include "safetensors_io.hpp"
#include "tokenizer_codebook.hpp"

namespace sjd::train {

/// res(x) = x + conv2(silu(conv1(silu(x)))), 3 x 3 convolutions.
struct ResidualBlockImpl : torch::nn::Module {
  explicit ResidualBlockImpl(std::int64_t channels);
  torch::Tensor forward(const torch::Tensor& input);

  torch::nn::Conv2d conv1;
  torch::nn::Conv2d conv2;
};
TORCH_MODULE(ResidualBlock);

/// Paints codes: the codebook's patches plus a learned correction, as docs/checkpoint.md says.
/// The parameters carry the names of decoder.safetensors; the codebook is fixed.
struct PictureDecoderImpl : torch::nn::Module {
  explicit PictureDecoderImpl(const Codebook& codebook);

  /// The picture before it is clamped to 0 .. 1.
  ///
  /// shapes  codes [batch, 256] I32 or I64; returns [batch, 3, 64, 64]
  torch::Tensor forward(const torch::Tensor& codes);

  /// Takes parameters and codebook to a device.
  void move_to(torch::Device device);

  /// Every tensor of decoder.safetensors.
  [[nodiscard]] TensorMap tensors() const;

  torch::nn::Embedding embed;
  std::array<ResidualBlock, 4> res;
  std::array<torch::nn::Conv2d, 2> up;
  torch::nn::Conv2d out;
  torch::Tensor codebook;  // [512, 48]
};
TORCH_MODULE(PictureDecoder);

}  // namespace sjd::train
