// SPDX-License-Identifier: Apache-2.0
#include "parameters.hpp"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>
#include <utility>

namespace sjd::train {

ParameterTable::ParameterTable(const ModelShape& shape) {
  add("text_embedding.weight", {shape.text_vocabulary, shape.hidden}, false);
  add("image_embedding.weight", {shape.image_vocabulary, shape.hidden}, false);
  add("image_position.weight", {shape.image_tokens(), shape.hidden}, false);
  add("level_embedding.weight", {shape.levels, shape.hidden}, false);
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    add(prefix + "input_norm.weight", {shape.hidden}, false);
    add(prefix + "attention.q.weight", {shape.heads * shape.head_dim, shape.hidden}, true);
    add(prefix + "attention.k.weight", {shape.kv_heads * shape.head_dim, shape.hidden}, true);
    add(prefix + "attention.v.weight", {shape.kv_heads * shape.head_dim, shape.hidden}, true);
    add(prefix + "attention.o.weight", {shape.hidden, shape.heads * shape.head_dim}, true);
    add(prefix + "attention.q_norm.weight", {shape.head_dim}, false);
    add(prefix + "attention.k_norm.weight", {shape.head_dim}, false);
    add(prefix + "post_norm.weight", {shape.hidden}, false);
    add(prefix + "mlp.gate.weight", {shape.intermediate, shape.hidden}, true);
    add(prefix + "mlp.up.weight", {shape.intermediate, shape.hidden}, true);
    add(prefix + "mlp.down.weight", {shape.hidden, shape.intermediate}, true);
  }
  add("norm.weight", {shape.hidden}, false);
  add("image_head.weight", {shape.image_vocabulary, shape.hidden}, true);
}

void ParameterTable::add(const std::string& name, std::vector<std::int64_t> shape, bool is_matrix) {
  const std::int64_t count =
      std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>{});
  parameters_.push_back({name, std::move(shape), count_, count, is_matrix, false});
  count_ += count;
}

Parameter& ParameterTable::operator[](const std::string& name) {
  const auto found = std::find_if(parameters_.begin(), parameters_.end(),
                                  [&](const Parameter& p) { return p.name == name; });
  if (found == parameters_.end()) throw std::runtime_error("no parameter is called " + name);
  return *found;
}

const Parameter& ParameterTable::operator[](const std::string& name) const {
  return const_cast<ParameterTable&>(*this)[name];  // the search itself changes nothing
}

Weights::Weights(const ModelShape& model_shape)
    : shape{model_shape},
      table{model_shape},
      master(static_cast<std::size_t>(table.count())),
      average(master.size()),
      first(master.size()),
      second(master.size()),
      rounded(master.size()) {}

void Weights::initialize(std::uint64_t seed) {
  std::mt19937_64 engine{seed};
  std::normal_distribution<float> normal;
  const auto residual = 1.0F / std::sqrt(2.0F * static_cast<float>(shape.layers));
  for (const Parameter& p : table.all()) {
    const bool is_norm = p.shape.size() == 1;
    float deviation = 0.02F;
    if (p.is_matrix) deviation = 1.0F / std::sqrt(static_cast<float>(p.shape[1]));
    if (p.name.ends_with("o.weight") || p.name.ends_with("down.weight")) deviation *= residual;
    if (p.name == "image_embedding.weight" || p.name == "text_embedding.weight") deviation = 0.5F;
    if (p.name == "image_position.weight") deviation = 0.1F;
    if (p.name == "image_head.weight") deviation = 0.02F;
    if (p.name == "level_embedding.weight") deviation = 0.0F;
    for (std::int64_t i = 0; i < p.count; ++i) {
      master[static_cast<std::size_t>(p.offset + i)] = is_norm ? 1.0F : deviation * normal(engine);
    }
  }
  average = master;
  refresh_rounded();
}

void Weights::load(const TensorMap& tensors, const std::string& prefix,
                   std::vector<float>& target) const {
  for (const Parameter& p : table.all()) {
    const auto found = tensors.find(prefix + p.name);
    if (found == tensors.end()) throw std::runtime_error("checkpoint lacks " + prefix + p.name);
    const torch::Tensor values = found->second.to(torch::kFloat32).contiguous();
    if (values.sizes() != torch::IntArrayRef{p.shape}) {
      throw std::runtime_error("checkpoint has another shape for " + prefix + p.name);
    }
    std::copy_n(values.data_ptr<float>(), p.count, target.begin() + p.offset);
  }
}

void Weights::store(const std::vector<float>& source, const std::string& prefix,
                    TensorMap& tensors) const {
  for (const Parameter& p : table.all()) {
    torch::Tensor values = torch::empty(p.shape, torch::kFloat32);
    std::copy_n(source.begin() + p.offset, p.count, values.data_ptr<float>());
    tensors[prefix + p.name] = values;
  }
}

void Weights::refresh_rounded() {
  round_to_bf16(master, rounded);
}

ModelShape shape_of_checkpoint(const TensorMap& tensors) {
  ModelShape shape;
  const auto size = [&](const char* name, std::int64_t dimension) {
    const auto found = tensors.find(std::string{"weights."} + name);
    if (found == tensors.end()) throw std::runtime_error(std::string{"checkpoint lacks "} + name);
    return found->second.size(dimension);
  };
  shape.text_vocabulary = size("text_embedding.weight", 0);
  shape.hidden = size("text_embedding.weight", 1);
  shape.image_vocabulary = size("image_embedding.weight", 0);
  shape.intermediate = size("layers.0.mlp.gate.weight", 0);
  shape.levels = size("level_embedding.weight", 0);
  shape.layers = 0;
  while (tensors.contains("weights.layers." + std::to_string(shape.layers) + ".post_norm.weight")) {
    ++shape.layers;
  }
  return shape;
}

}  // namespace sjd::train
