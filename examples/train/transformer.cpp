// SPDX-License-Identifier: Apache-2.0
#include "transformer.hpp"

#include <ATen/ops/bmm.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace sjd::train {
namespace {

torch::Tensor bf16(std::initializer_list<std::int64_t> sizes) {
  return torch::zeros(sizes, torch::kBFloat16);
}

Bf16* data(const torch::Tensor& tensor) {
  return static_cast<Bf16*>(tensor.data_ptr());
}

std::string layer_name(std::int64_t index, const char* rest) {
  return "layers." + std::to_string(index) + "." + rest;
}

}  // namespace

Transformer::Transformer(const Weights& weights, std::int64_t sequences, float dropout)
    : weights_{weights}, shape_{weights.shape}, dropout_{dropout} {
  const ModelShape& s = shape_;
  attention_ = {sequences, s.length(), s.heads, s.kv_heads, s.head_dim, s.epsilon, true};
  layers_.resize(static_cast<std::size_t>(s.layers));
  for (Layer& layer : layers_) allocate(layer);
  allocate_shared();
  const std::int64_t half = s.head_dim / 2;
  for (std::int64_t position = 0; position < s.length(); ++position) {
    for (std::int64_t j = 0; j < half; ++j) {
      const double power = -static_cast<double>(j) / static_cast<double>(half);
      const double angle = static_cast<double>(position) * std::pow(s.rope_theta, power);
      cosine_.push_back(static_cast<float>(std::cos(angle)));
      sine_.push_back(static_cast<float>(std::sin(angle)));
    }
  }
}

void Transformer::allocate(Layer& layer) const {
  const ModelShape& s = shape_;
  const std::int64_t rows = attention_.rows();
  const std::int64_t query_rows = s.heads / s.kv_heads * s.length();
  const std::int64_t groups = attention_.sequences * s.kv_heads;
  layer.normed = bf16({rows, s.hidden});
  layer.qkv = bf16({rows, s.qkv_width()});
  layer.q = bf16({groups, query_rows, s.head_dim});
  layer.k = bf16({groups, s.length(), s.head_dim});
  layer.v = bf16({groups, s.length(), s.head_dim});
  layer.probabilities = bf16({groups, query_rows, s.length()});
  layer.attended = bf16({rows, s.heads * s.head_dim});
  layer.post_normed = bf16({rows, s.hidden});
  layer.gate_up = bf16({rows, 2 * s.intermediate});
  layer.activated = bf16({rows, s.intermediate});
  layer.inverse.resize(rows);
  layer.post_inverse.resize(rows);
  layer.head_inverse.resize(rows * (s.heads + s.kv_heads));
  layer.entry.resize(rows * s.hidden);
  layer.middle.resize(rows * s.hidden);
}

void Transformer::allocate_shared() {
  const ModelShape& s = shape_;
  const std::int64_t rows = attention_.rows();
  const std::int64_t image_rows = attention_.sequences * s.image_tokens();
  last_.resize(rows * s.hidden);
  last_inverse_.resize(rows);
  dh_.resize(rows * s.hidden);
  losses_.resize(image_rows);
  last_normed_ = bf16({rows, s.hidden});
  image_normed_ = bf16({image_rows, s.hidden});
  logits_ = bf16({image_rows, s.image_vocabulary});
  branch_ = bf16({rows, s.hidden});
  dbranch_ = bf16({rows, s.hidden});
  dwide_ = bf16({rows, s.intermediate});
  dqkv_ = bf16({rows, s.qkv_width()});
  dnormed_ = bf16({rows, s.hidden});
  dscores_ = torch::empty_like(layers_[0].probabilities);
  dq_ = torch::empty_like(layers_[0].q);
  dk_ = torch::empty_like(layers_[0].k);
  dv_ = torch::empty_like(layers_[0].v);
  heads_ = torch::empty_like(layers_[0].q);
}

Dropout Transformer::dropout_at(std::int64_t step) const {
  const auto salt = static_cast<std::uint32_t>(step + 1) * 0x27d4eb2fU;
  return {is_training_ ? dropout_ : 0.0F, seed_ ^ salt};
}

const Bf16* Transformer::bits(const std::string& name) const {
  return weights_.rounded.data() + weights_.table[name].offset;
}

torch::Tensor Transformer::weight(const std::string& name, std::int64_t rows) const {
  const Parameter& p = weights_.table[name];
  auto* bytes = const_cast<Bf16*>(weights_.rounded.data() + p.offset);  // only read
  return at::from_blob(bytes, {rows, p.shape[1]}, torch::kBFloat16);
}

void Transformer::add_weight_gradient(const torch::Tensor& dy, const torch::Tensor& x,
                                      const std::string& name, std::vector<float>& gradient) {
  const torch::Tensor product = at::mm(dy.t(), x);
  accumulate({data(product), static_cast<std::size_t>(product.numel())},
             gradient.data() + weights_.table[name].offset);
}

const std::vector<float>& Transformer::run(const Batch& batch, std::uint32_t seed,
                                           std::vector<float>* gradient) {
  const c10::InferenceMode no_autograd;
  seed_ = seed;
  is_training_ = gradient != nullptr;
  embed(batch);
  norm_forward(0, layers_[0].entry.data(), nullptr, layers_[0].entry.data(),
               layer_name(0, "input_norm.weight"), layers_[0].normed, layers_[0].inverse);
  for (std::int64_t i = 0; i < shape_.layers; ++i) {
    attention_forward(i, batch);
    mlp_forward(i);
  }
  head(batch, is_training_);
  if (gradient == nullptr) return losses_;
  head_backward(*gradient);
  for (std::int64_t i = shape_.layers; i-- > 0;) {
    mlp_backward(i, *gradient);
    attention_backward(i, batch, *gradient);
  }
  embed_backward(batch, *gradient);
  return losses_;
}

void Transformer::norm_forward(std::int64_t step, const float* h, const Bf16* branch, float* h_next,
                               const std::string& name, torch::Tensor& normed,
                               std::vector<float>& inverse) {
  add_norm(h, branch, bits(name), attention_.rows(), shape_.hidden, shape_.epsilon,
           dropout_at(step), h_next, data(normed), inverse.data());
}

void Transformer::norm_backward(std::int64_t step, const torch::Tensor& dnormed,
                                const std::vector<float>& h, const std::vector<float>& inverse,
                                const std::string& name, std::vector<float>& gradient) {
  add_norm_backward(data(dnormed), h.data(), inverse.data(), bits(name), attention_.rows(),
                    shape_.hidden, dropout_at(step), dh_.data(),
                    gradient.data() + weights_.table[name].offset, data(dbranch_));
}

void Transformer::attention_forward(std::int64_t index, const Batch& batch) {
  Layer& layer = layers_[static_cast<std::size_t>(index)];
  at::mm_out(layer.qkv, layer.normed,
             weight(layer_name(index, "attention.q.weight"), shape_.qkv_width()).t());
  split_heads(attention_, data(layer.qkv), bits(layer_name(index, "attention.q_norm.weight")),
              bits(layer_name(index, "attention.k_norm.weight")), cosine_.data(), sine_.data(),
              data(layer.q), data(layer.k), data(layer.v), layer.head_inverse.data());
  at::bmm_out(layer.probabilities, layer.q, layer.k.transpose(1, 2));
  causal_softmax(attention_, batch.first.data(), data(layer.probabilities));
  at::bmm_out(heads_, layer.probabilities, layer.v);
  merge_heads(attention_, data(heads_), data(layer.attended));
  at::mm_out(branch_, layer.attended,
             weight(layer_name(index, "attention.o.weight"), shape_.hidden).t());
  norm_forward(2 * index + 1, layer.entry.data(), data(branch_), layer.middle.data(),
               layer_name(index, "post_norm.weight"), layer.post_normed, layer.post_inverse);
}

void Transformer::mlp_forward(std::int64_t index) {
  Layer& layer = layers_[static_cast<std::size_t>(index)];
  at::mm_out(layer.gate_up, layer.post_normed,
             weight(layer_name(index, "mlp.gate.weight"), 2 * shape_.intermediate).t());
  swiglu(data(layer.gate_up), attention_.rows(), shape_.intermediate, data(layer.activated));
  at::mm_out(branch_, layer.activated,
             weight(layer_name(index, "mlp.down.weight"), shape_.hidden).t());
  if (index + 1 == shape_.layers) {
    norm_forward(2 * index + 2, layer.middle.data(), data(branch_), last_.data(), "norm.weight",
                 last_normed_, last_inverse_);
    return;
  }
  Layer& next = layers_[static_cast<std::size_t>(index) + 1];
  norm_forward(2 * index + 2, layer.middle.data(), data(branch_), next.entry.data(),
               layer_name(index + 1, "input_norm.weight"), next.normed, next.inverse);
}

void Transformer::head(const Batch& batch, bool with_gradient) {
  const std::int64_t count = shape_.image_tokens();
  const std::int64_t sequences = attention_.sequences;
  // The last image_tokens rows of a sequence are <image>, x_0 .. x_(n-2): they predict x_0 ..
  // x_(n-1).
  image_normed_.view({sequences, count, shape_.hidden})
      .copy_(last_normed_.view({sequences, shape_.length(), shape_.hidden})
                 .narrow(1, shape_.length() - count, count));
  at::mm_out(logits_, image_normed_, weight("image_head.weight", shape_.image_vocabulary).t());
  cross_entropy(data(logits_), batch.tokens.data(), batch.weights.data(), sequences * count,
                shape_.image_vocabulary, !with_gradient, losses_.data());
}

void Transformer::head_backward(std::vector<float>& gradient) {
  const std::int64_t count = shape_.image_tokens();
  const std::int64_t sequences = attention_.sequences;
  add_weight_gradient(logits_, image_normed_, "image_head.weight", gradient);
  at::mm_out(image_normed_, logits_, weight("image_head.weight", shape_.image_vocabulary));
  dnormed_.zero_();
  dnormed_.view({sequences, shape_.length(), shape_.hidden})
      .narrow(1, shape_.length() - count, count)
      .copy_(image_normed_.view({sequences, count, shape_.hidden}));
  std::fill(dh_.begin(), dh_.end(), 0.0F);
  norm_backward(2 * shape_.layers, dnormed_, last_, last_inverse_, "norm.weight", gradient);
}

void Transformer::mlp_backward(std::int64_t index, std::vector<float>& gradient) {
  Layer& layer = layers_[static_cast<std::size_t>(index)];
  add_weight_gradient(dbranch_, layer.activated, layer_name(index, "mlp.down.weight"), gradient);
  at::mm_out(dwide_, dbranch_, weight(layer_name(index, "mlp.down.weight"), shape_.hidden));
  swiglu_backward(data(dwide_), attention_.rows(), shape_.intermediate, data(layer.gate_up));
  const std::string gate = layer_name(index, "mlp.gate.weight");
  add_weight_gradient(layer.gate_up, layer.post_normed, gate, gradient);
  at::mm_out(dnormed_, layer.gate_up, weight(gate, 2 * shape_.intermediate));
  norm_backward(2 * index + 1, dnormed_, layer.middle, layer.post_inverse,
                layer_name(index, "post_norm.weight"), gradient);
}

void Transformer::attention_backward(std::int64_t index, const Batch& batch,
                                     std::vector<float>& gradient) {
  Layer& layer = layers_[static_cast<std::size_t>(index)];
  const std::string q_norm = layer_name(index, "attention.q_norm.weight");
  const std::string k_norm = layer_name(index, "attention.k_norm.weight");
  const std::string qkv = layer_name(index, "attention.q.weight");
  const std::string output = layer_name(index, "attention.o.weight");
  add_weight_gradient(dbranch_, layer.attended, output, gradient);
  at::mm_out(branch_, dbranch_, weight(output, shape_.hidden));
  unmerge_heads(attention_, data(branch_), data(heads_));
  at::bmm_out(dscores_, heads_, layer.v.transpose(1, 2));
  at::bmm_out(dv_, layer.probabilities.transpose(1, 2), heads_);
  causal_softmax_backward(attention_, batch.first.data(), data(layer.probabilities),
                          data(dscores_));
  at::bmm_out(dq_, dscores_, layer.k);
  at::bmm_out(dk_, dscores_.transpose(1, 2), layer.q);
  split_heads_backward(attention_, data(layer.qkv), layer.head_inverse.data(), bits(q_norm),
                       bits(k_norm), cosine_.data(), sine_.data(), data(dq_), data(dk_), data(dv_),
                       data(dqkv_), gradient.data() + weights_.table[q_norm].offset,
                       gradient.data() + weights_.table[k_norm].offset);
  add_weight_gradient(dqkv_, layer.normed, qkv, gradient);
  at::mm_out(dnormed_, dqkv_, weight(qkv, shape_.qkv_width()));
  norm_backward(2 * index, dnormed_, layer.entry, layer.inverse,
                layer_name(index, "input_norm.weight"), gradient);
}

}  // namespace sjd::train
