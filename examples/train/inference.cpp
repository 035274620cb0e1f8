// SPDX-License-Identifier: Apache-2.0
#include "inference.hpp"

#include <ATen/Functions.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace sjd::train {
namespace {

std::string layer_name(std::int64_t index, const char* rest) {
  return "layers." + std::to_string(index) + "." + rest;
}

}  // namespace

Inference::Inference(const ModelShape& shape, const TensorMap& weights) : shape_{shape} {
  for (const auto& [name, tensor] : weights) weights_[name] = tensor.to(torch::kFloat32);
}

void Inference::start(std::vector<std::int32_t> first) {
  first_ = std::move(first);
  keys_.assign(static_cast<std::size_t>(shape_.layers), {});
  values_.assign(static_cast<std::size_t>(shape_.layers), {});
  cached_ = 0;
}

torch::Tensor Inference::embed_prompts(const std::vector<std::int32_t>& words) const {
  const std::int64_t width = shape_.max_prompt;
  const auto sequences = static_cast<std::int64_t>(words.size()) / width;
  torch::Tensor rows = torch::zeros({sequences, width + 1, shape_.hidden});
  const torch::Tensor& text = weight("text_embedding.weight");
  for (std::int64_t s = 0; s < sequences; ++s) {
    for (std::int64_t i = 0; i < width; ++i) {
      const std::int32_t word = words[static_cast<std::size_t>(s * width + i)];
      if (word >= 0) rows[s][i].copy_(text[word]);
    }
    rows[s][width].copy_(text[1] + weight("image_position.weight")[0]);
  }
  return rows;
}

torch::Tensor Inference::embed_tokens(const torch::Tensor& tokens, std::int64_t position) const {
  const torch::Tensor rows = at::index_select(weight("image_embedding.weight"), 0, tokens);
  return (rows + weight("image_position.weight")[position + 1]).unsqueeze(1);
}

torch::Tensor Inference::embed_fed(const torch::Tensor& vectors, std::int64_t level,
                                   std::int64_t position) const {
  return (vectors + weight("level_embedding.weight")[level - 1] +
          weight("image_position.weight")[position + 1])
      .unsqueeze(1);
}

torch::Tensor Inference::norm(const torch::Tensor& x, const std::string& name) const {
  return x * at::rsqrt(x.square().mean(-1, true) + shape_.epsilon) * weight(name);
}

torch::Tensor Inference::rotate(
    const torch::Tensor& x) const {  // [sequences, heads, rows, head_dim]
  const std::int64_t half = shape_.head_dim / 2;
  const torch::Tensor power = at::arange(half, torch::kFloat64) / static_cast<double>(half);
  const torch::Tensor speed = at::pow(static_cast<double>(shape_.rope_theta), -power);
  const torch::Tensor position = at::arange(cached_, cached_ + x.size(2), torch::kFloat64);
  const torch::Tensor angle = position.unsqueeze(1) * speed;  // [rows, half]
  const torch::Tensor c = angle.cos().to(torch::kFloat32);
  const torch::Tensor s = angle.sin().to(torch::kFloat32);
  const torch::Tensor a = x.narrow(3, 0, half);
  const torch::Tensor b = x.narrow(3, half, half);
  return at::cat({a * c - b * s, b * c + a * s}, 3);
}

torch::Tensor Inference::attention(std::int64_t layer, const torch::Tensor& normed) {
  const std::int64_t n = normed.size(0);
  const std::int64_t rows = normed.size(1);
  const auto heads = [&](const char* name, std::int64_t count) {
    return at::linear(normed, weight(layer_name(layer, name)))
        .view({n, rows, count, shape_.head_dim})
        .transpose(1, 2);
  };
  const auto at_layer = static_cast<std::size_t>(layer);
  const torch::Tensor q = rotate(norm(heads("attention.q.weight", shape_.heads),
                                      layer_name(layer, "attention.q_norm.weight")));
  torch::Tensor k = rotate(norm(heads("attention.k.weight", shape_.kv_heads),
                                layer_name(layer, "attention.k_norm.weight")));
  torch::Tensor v = heads("attention.v.weight", shape_.kv_heads);
  if (keys_[at_layer].defined()) {
    k = at::cat({keys_[at_layer], k}, 2);
    v = at::cat({values_[at_layer], v}, 2);
  }
  keys_[at_layer] = k;
  values_[at_layer] = v;
  const std::int64_t share = shape_.heads / shape_.kv_heads;
  const torch::Tensor scores = at::matmul(q, k.repeat_interleave(share, 1).transpose(2, 3)) /
                               std::sqrt(static_cast<double>(shape_.head_dim));
  const torch::Tensor seen =
      at::matmul(at::softmax(scores + mask_, 3), v.repeat_interleave(share, 1));
  return at::linear(seen.transpose(1, 2).reshape({n, rows, shape_.heads * shape_.head_dim}),
                    weight(layer_name(layer, "attention.o.weight")));
}

torch::Tensor Inference::forward(const torch::Tensor& inputs) {
  const c10::InferenceMode no_autograd;
  const std::int64_t n = inputs.size(0);
  const std::int64_t rows = inputs.size(1);
  mask_ = torch::full({n, 1, rows, cached_ + rows}, -std::numeric_limits<float>::infinity());
  for (std::int64_t s = 0; s < n; ++s) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t end = cached_ + r + 1;
      const std::int64_t begin =
          std::min<std::int64_t>(first_[static_cast<std::size_t>(s)], end - 1);
      mask_[s][0][r].narrow(0, begin, end - begin).zero_();
    }
  }
  torch::Tensor h = inputs;
  for (std::int64_t layer = 0; layer < shape_.layers; ++layer) {
    h = h + attention(layer, norm(h, layer_name(layer, "input_norm.weight")));
    const torch::Tensor m = norm(h, layer_name(layer, "post_norm.weight"));
    const torch::Tensor gate = at::linear(m, weight(layer_name(layer, "mlp.gate.weight")));
    const torch::Tensor up = at::linear(m, weight(layer_name(layer, "mlp.up.weight")));
    h = h + at::linear(at::silu(gate) * up, weight(layer_name(layer, "mlp.down.weight")));
  }
  cached_ += rows;
  return at::linear(norm(h, "norm.weight"), weight("image_head.weight"));
}

TensorMap rounded_tensors(const Weights& weights, const std::vector<float>& source) {
  TensorMap tensors;
  weights.store(source, "", tensors);
  for (auto& [name, tensor] : tensors) tensor = tensor.to(torch::kBFloat16);
  return tensors;
}

}  // namespace sjd::train
