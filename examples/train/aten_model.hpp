// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "aten_batch.hpp"
#include "parameters.hpp"

namespace sjd::train {

/// The transformer of transformer.hpp in LibTorch's operations, its gradient by autograd: the same
/// sums, roundings and dropped elements, in an order that the device chooses. All sequences of a
/// batch run at once.
class AtenModel {
 public:
  /// The layout of `weights` is copied; its values are not.
  AtenModel(const Weights& weights, torch::Device device, float dropout);

  /// -log p of every target.
  ///
  /// shapes  values [table.count()] F32 that bf16 can hold, on the device; returns [sequences * T]
  ///         F32, differentiable if values are
  /// seeds   one for each equal part of the batch: where Transformer::run is called with that part
  ///         and seed, the same elements are dropped; none: nothing is dropped
  [[nodiscard]] torch::Tensor losses(const torch::Tensor& values, const AtenBatch& batch,
                                     const std::vector<std::uint32_t>& seeds) const;

 private:
  /// What the operations of one call share.
  struct Pass {
    std::map<std::string, torch::Tensor> weights;  ///< by name; matrices bf16, the rest F32
    torch::Tensor keep;    ///< [2 layers + 1, rows, hidden] F32, undefined without dropout
    torch::Tensor hidden;  ///< [sequences, 1, 1, L, L] bool
    std::int64_t sequences = 0;
  };

  [[nodiscard]] std::map<std::string, torch::Tensor> split(const torch::Tensor& values) const;
  [[nodiscard]] torch::Tensor keep(const std::vector<std::uint32_t>& seeds,
                                   std::int64_t rows) const;
  [[nodiscard]] torch::Tensor embed(const Pass& pass, const AtenBatch& batch) const;
  [[nodiscard]] torch::Tensor dropped(const Pass& pass, std::int64_t step,
                                      const torch::Tensor& branch) const;
  [[nodiscard]] torch::Tensor norm(const torch::Tensor& x, const torch::Tensor& weight) const;
  [[nodiscard]] torch::Tensor rotate(const torch::Tensor& x) const;
  [[nodiscard]] torch::Tensor attention(const Pass& pass, const std::string& layer,
                                        const torch::Tensor& normed) const;
  [[nodiscard]] torch::Tensor mlp(const Pass& pass, const std::string& layer,
                                  const torch::Tensor& normed) const;

  ModelShape shape_;
  std::vector<Parameter> parameters_;
  torch::Device device_;
  float dropout_;
  torch::Tensor cosine_, sine_;  ///< [1, L, 1, head_dim / 2] F32
};

}  // namespace sjd::train
