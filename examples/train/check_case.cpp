// SPDX-License-Identifier: Apache-2.0
#include "check_case.hpp"

#include <bit>
#include <cmath>
#include <random>

namespace sjd::train {
namespace {

ModelShape small_shape() {
  ModelShape shape;
  shape.layers = 2;
  shape.text_vocabulary = 32;
  shape.image_vocabulary = 64;
  shape.rows = 4;
  shape.columns = 8;
  shape.levels = 3;
  return shape;
}

void make_uneven(Weights& weights) {
  for (const Parameter& p : weights.table.all()) {
    for (std::int64_t i = 0; i < p.count; ++i) {
      float& value = weights.master[static_cast<std::size_t>(p.offset + i)];
      if (p.shape.size() == 1) value = 1.0F + 0.3F * std::sin(7.1F * static_cast<float>(i));
      if (p.name == "image_head.weight") value *= 6.0F;
      if (p.name == "level_embedding.weight") value = 0.2F * std::cos(3.3F * static_cast<float>(i));
    }
  }
  // Both sides start from what bf16 can hold.
  weights.refresh_rounded();
  for (std::size_t i = 0; i < weights.master.size(); ++i) {
    weights.master[i] = std::bit_cast<float>(std::uint32_t{weights.rounded[i]} << 16U);
  }
}

}  // namespace

Batch check_batch(const ModelShape& shape, std::uint64_t seed) {
  std::mt19937_64 engine{seed};
  std::normal_distribution<float> normal;
  Batch batch;
  batch.sequences = check_sequences;
  for (std::int64_t s = 0; s < check_sequences; ++s) {
    const std::int64_t padding = shape.max_prompt - 2 - 3 * s;
    batch.first.push_back(static_cast<std::int32_t>(padding));
    for (std::int64_t i = 0; i < shape.max_prompt; ++i) {
      batch.words.push_back(i < padding ? -1 : static_cast<std::int32_t>(3 + engine() % 20));
    }
    for (std::int64_t i = 0; i < shape.image_tokens(); ++i) {
      const bool is_noisy = s + 1 == check_sequences && i >= shape.image_tokens() / 2;
      batch.tokens.push_back(static_cast<std::int32_t>(engine() % 64));
      batch.levels.push_back(is_noisy ? static_cast<std::int32_t>(1 + engine() % 3) : 0);
      batch.weights.push_back(1.0F / static_cast<float>(check_sequences * shape.image_tokens()));
      if (!is_noisy || i + 1 == shape.image_tokens()) continue;
      for (std::int64_t j = 0; j < shape.hidden; ++j) batch.fed.push_back(0.3F * normal(engine));
    }
  }
  return batch;
}

Weights check_weights() {
  Weights weights{small_shape()};
  weights.initialize(5);
  make_uneven(weights);
  return weights;
}

}  // namespace sjd::train
