// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_decoder.hpp"

#include <string>

namespace sjd::train {
namespace {

namespace nn = torch::nn;

nn::Conv2d convolution(std::int64_t in, std::int64_t out) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, 3).padding(1));
}

torch::Tensor twice_as_large(const torch::Tensor& input) {
  return torch::upsample_nearest2d(input, {input.size(2) * 2, input.size(3) * 2});
}

}  // namespace

ResidualBlockImpl::ResidualBlockImpl(std::int64_t channels)
    : conv1(register_module("conv1", convolution(channels, channels))),
      conv2(register_module("conv2", convolution(channels, channels))) {
  // Starts as the identity, which lets the whole stack learn from the first step on.
  torch::NoGradGuard no_grad;
  conv2->weight.mul_(0.1);
  conv2->bias.zero_();
}

torch::Tensor ResidualBlockImpl::forward(const torch::Tensor& input) {
  return input + conv2(torch::silu(conv1(torch::silu(input))));
}

PictureDecoderImpl::PictureDecoderImpl(const Codebook& book)
    : embed(register_module("embed", nn::Embedding(code_count, 64))),
      res{register_module("res0", ResidualBlock(64)), register_module("res1", ResidualBlock(64)),
          register_module("res2", ResidualBlock(48)), register_module("res3", ResidualBlock(32))},
      up{register_module("up0", convolution(64, 48)), register_module("up1", convolution(48, 32))},
      out(register_module("out", convolution(32, 3))),
      codebook(torch::tensor(book.rows()).view({code_count, patch_values})) {
  torch::NoGradGuard no_grad;
  out->weight.mul_(0.1);
  out->bias.zero_();
  // The first 48 channels start as the patch itself, so that alike codes start alike.
  embed->weight.mul_(0.1);
  embed->weight.narrow(1, 0, patch_values).add_(codebook * 2 - 1);
}

torch::Tensor PictureDecoderImpl::forward(const torch::Tensor& codes) {
  const std::int64_t batch = codes.size(0);
  const torch::Tensor flat = codes.reshape({-1}).to(torch::kInt64);
  const torch::Tensor patches = codebook.index_select(0, flat)
                                    .view({batch, 16, 16, 4, 4, 3})
                                    .permute({0, 5, 1, 3, 2, 4})
                                    .reshape({batch, 3, 64, 64});
  torch::Tensor x = embed(flat).view({batch, 16, 16, 64}).permute({0, 3, 1, 2});
  x = res[1](res[0](x));
  x = torch::silu(up[0](twice_as_large(x)));
  x = res[2](x);
  x = torch::silu(up[1](twice_as_large(x)));
  return patches + out(res[3](x));
}

void PictureDecoderImpl::move_to(torch::Device device) {
  to(device);
  codebook = codebook.to(device);
}

TensorMap PictureDecoderImpl::tensors() const {
  TensorMap tensors{{"codebook", codebook}};
  for (const auto& parameter : named_parameters()) {
    tensors.emplace(parameter.key(), parameter.value().detach());
  }
  return tensors;
}

}  // namespace sjd::train
