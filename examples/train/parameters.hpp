// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "safetensors_io.hpp"

namespace sjd::train {

/// The architecture of docs/checkpoint.md.
struct ModelShape {
  std::int64_t hidden = 256;
  std::int64_t intermediate = 704;
  std::int64_t layers = 6;
  std::int64_t heads = 4;
  std::int64_t kv_heads = 2;
  std::int64_t head_dim = 64;
  float epsilon = 1e-5F;
  float rope_theta = 10000.0F;
  std::int64_t text_vocabulary = 0;
  std::int64_t image_vocabulary = 512;
  std::int64_t max_prompt = 12;
  std::int64_t rows = 16;
  std::int64_t columns = 16;
  std::int64_t levels = 13;  ///< noise levels 1..levels; 0 is clean

  [[nodiscard]] std::int64_t image_tokens() const { return rows * columns; }
  /// Rows of one training sequence: padded words, <image>, all image tokens but the last.
  [[nodiscard]] std::int64_t length() const { return max_prompt + image_tokens(); }
  [[nodiscard]] std::int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
};

/// One tensor inside the flat vector of all parameters.
struct Parameter {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;
  std::int64_t count = 0;
  bool is_matrix = false;  ///< matrices of the layers decay; norms and embeddings do not
  bool is_frozen = false;
};

/// Where every tensor lies. q, k, v of a layer are neighbours, as gate and up are: one product
/// reads each group.
class ParameterTable {
 public:
  explicit ParameterTable(const ModelShape& shape);

  [[nodiscard]] const Parameter& operator[](const std::string& name) const;
  [[nodiscard]] Parameter& operator[](const std::string& name);
  [[nodiscard]] const std::vector<Parameter>& all() const { return parameters_; }
  [[nodiscard]] std::int64_t count() const { return count_; }

 private:
  void add(const std::string& name, std::vector<std::int64_t> shape, bool is_matrix);

  std::vector<Parameter> parameters_;
  std::int64_t count_ = 0;
};

/// Master weights, optimizer state and the bf16 copy that the products read; all of length
/// table.count().
struct Weights {
  explicit Weights(const ModelShape& model_shape);

  /// Scaled normal weights, unit norms, zero level embedding.
  void initialize(std::uint64_t seed);
  /// Copies tensors named prefix + name into `target`; `optional` names may be missing.
  void load(const TensorMap& tensors, const std::string& prefix, std::vector<float>& target) const;
  void store(const std::vector<float>& source, const std::string& prefix, TensorMap& tensors) const;
  void refresh_rounded();

  ModelShape shape;
  ParameterTable table;
  std::vector<float> master;
  std::vector<float> average;
  std::vector<float> first;
  std::vector<float> second;
  std::vector<Bf16> rounded;
};

/// The tensors "weights.X" of a checkpoint decide every size but heads and image grid.
[[nodiscard]] ModelShape shape_of_checkpoint(const TensorMap& tensors);

}  // namespace sjd::train
