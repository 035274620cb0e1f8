// SPDX-License-Identifier: Apache-2.0
#include "aten_batch.hpp"

#include <ATen/Functions.h>

#include <vector>

namespace sjd::train {
namespace {

/// Indices of the words and inputs of all parts, as the host gathers them.
struct Indices {
  std::vector<std::int64_t> words, inputs, levels, targets, first;
  std::vector<float> fed, weights;
};

Indices gather(std::span<const Batch* const> parts, const ModelShape& shape) {
  Indices all;
  const std::int64_t count = shape.image_tokens();
  std::int64_t noisy = 0;
  for (const Batch* part : parts) {
    for (const std::int32_t word : part->words) all.words.push_back(word + 1);
    for (const std::int32_t first : part->first) all.first.push_back(first);
    for (std::int64_t s = 0; s < part->sequences; ++s) {
      for (std::int64_t i = 0; i + 1 < count; ++i) {
        const auto at = static_cast<std::size_t>(s * count + i);
        const std::int32_t level = part->levels[at];
        all.levels.push_back(level);
        all.inputs.push_back(level == 0 ? part->tokens[at] : shape.image_vocabulary + noisy++);
      }
    }
    all.targets.insert(all.targets.end(), part->tokens.begin(), part->tokens.end());
    all.weights.insert(all.weights.end(), part->weights.begin(), part->weights.end());
    all.fed.insert(all.fed.end(), part->fed.begin(), part->fed.end());
  }
  return all;
}

template <class T>
torch::Tensor moved(std::vector<T>& values, torch::IntArrayRef sizes, c10::ScalarType type,
                    torch::Device device) {
  return at::from_blob(values.data(), sizes, type).to(device, type, false, /*copy=*/true);
}

/// A row looks at itself, and at the rows from the first word to itself.
torch::Tensor hidden_keys_of(const torch::Tensor& first, std::int64_t length) {
  const torch::Tensor at = at::arange(length, first.options());
  const torch::Tensor row = at.view({1, 1, length, 1});
  const torch::Tensor key = at.view({1, 1, 1, length});
  const torch::Tensor seen = key.le(row).logical_and(key.ge(first.view({-1, 1, 1, 1})));
  return seen.logical_or(key.eq(row)).logical_not();
}

}  // namespace

AtenBatch aten_batch(std::span<const Batch* const> parts, const ModelShape& shape,
                     torch::Device device) {
  Indices all = gather(parts, shape);
  const auto sequences = static_cast<std::int64_t>(all.first.size());
  const auto noisy = static_cast<std::int64_t>(all.fed.size()) / shape.hidden;
  const std::int64_t count = shape.image_tokens();
  const auto integers = [&](std::vector<std::int64_t>& values, std::int64_t columns) {
    return moved(values, {static_cast<std::int64_t>(values.size()) / columns, columns},
                 torch::kInt64, device);
  };
  AtenBatch batch;
  batch.words = integers(all.words, shape.max_prompt);
  batch.inputs = integers(all.inputs, count - 1);
  batch.levels = integers(all.levels, count - 1);
  batch.fed = moved(all.fed, {noisy, shape.hidden}, torch::kFloat32, device);
  batch.targets = integers(all.targets, 1);
  batch.weights = moved(all.weights, {sequences * count}, torch::kFloat32, device);
  batch.hidden_keys = hidden_keys_of(integers(all.first, 1), shape.length());
  return batch;
}

}  // namespace sjd::train
