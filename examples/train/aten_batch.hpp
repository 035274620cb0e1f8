// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>

#include "parameters.hpp"
#include "transformer.hpp"

namespace sjd::train {

/// A batch as indices into tables, on its device. T = image tokens, L = rows of a sequence.
struct AtenBatch {
  torch::Tensor words;        ///< [sequences, max_prompt] I64: 1 + id of a word, 0 where padded
  torch::Tensor inputs;       ///< [sequences, T - 1] I64: code, or vocabulary + row of fed
  torch::Tensor levels;       ///< [sequences, T - 1] I64, 0 = clean
  torch::Tensor fed;          ///< [noisy inputs in order, hidden] F32
  torch::Tensor targets;      ///< [sequences * T, 1] I64
  torch::Tensor weights;      ///< [sequences * T] F32
  torch::Tensor hidden_keys;  ///< [sequences, 1, L, L] bool: what a row must not look at

  [[nodiscard]] std::int64_t sequences() const { return words.size(0); }
};

/// Several batches one after the other.
///
/// shapes  parts: of one shape; sequences add up
/// memory  copies to `device`
[[nodiscard]] AtenBatch aten_batch(std::span<const Batch* const> parts, const ModelShape& shape,
                                   torch::Device device);

}  // namespace sjd::train
