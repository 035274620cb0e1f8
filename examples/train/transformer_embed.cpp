// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernel_math.hpp"
#include "transformer.hpp"

namespace sjd::train {
namespace {

void add_row(const Bf16* from, std::int64_t width, float* to) {
  for (std::int64_t j = 0; j < width; ++j) to[j] += widen(from[j]);
}

void add_row(const float* from, std::int64_t width, float* to) {
  for (std::int64_t j = 0; j < width; ++j) to[j] += from[j];
}

}  // namespace

/// Rows of one sequence: max_prompt words, <image> (text id 1), x_0 .. x_(n-2).
void Transformer::embed(const Batch& batch) {
  const std::int64_t d = shape_.hidden;
  const std::int64_t count = shape_.image_tokens();
  const Bf16* text = bits("text_embedding.weight");
  const Bf16* image = bits("image_embedding.weight");
  const Bf16* position = bits("image_position.weight");
  const Bf16* level = bits("level_embedding.weight");
  std::vector<float>& h = layers_[0].entry;
  std::fill(h.begin(), h.end(), 0.0F);
  const float* fed = batch.fed.data();
  for (std::int64_t s = 0; s < batch.sequences; ++s) {
    float* row = h.data() + s * shape_.length() * d;
    for (std::int64_t i = 0; i < shape_.max_prompt; ++i, row += d) {
      const std::int32_t word = batch.words[s * shape_.max_prompt + i];
      if (word >= 0) add_row(text + word * d, d, row);
    }
    add_row(text + d, d, row);
    add_row(position, d, row);
    for (std::int64_t i = 0; i + 1 < count; ++i) {
      row += d;
      const std::int32_t noise = batch.levels[s * count + i];
      if (noise == 0) {
        add_row(image + batch.tokens[s * count + i] * d, d, row);
      } else {
        add_row(fed, d, row);
        add_row(level + (noise - 1) * d, d, row);
        fed += d;
      }
      add_row(position + (i + 1) * d, d, row);
    }
  }
}

/// The fed vector of a noisy slot is a constant to the gradient, so the table learns from clean
/// inputs alone.
void Transformer::embed_backward(const Batch& batch, std::vector<float>& gradient) {
  const std::int64_t d = shape_.hidden;
  const std::int64_t count = shape_.image_tokens();
  float* text = gradient.data() + weights_.table["text_embedding.weight"].offset;
  float* image = gradient.data() + weights_.table["image_embedding.weight"].offset;
  float* position = gradient.data() + weights_.table["image_position.weight"].offset;
  float* level = gradient.data() + weights_.table["level_embedding.weight"].offset;
  const Keep keep{dropout_at(0)};
  for (std::size_t i = 0; i < dh_.size(); ++i) dh_[i] *= keep(static_cast<std::uint32_t>(i));
  for (std::int64_t s = 0; s < batch.sequences; ++s) {
    const float* row = dh_.data() + s * shape_.length() * d;
    for (std::int64_t i = 0; i < shape_.max_prompt; ++i, row += d) {
      const std::int32_t word = batch.words[s * shape_.max_prompt + i];
      if (word >= 0) add_row(row, d, text + word * d);
    }
    add_row(row, d, text + d);
    add_row(row, d, position);
    for (std::int64_t i = 0; i + 1 < count; ++i) {
      row += d;
      const std::int32_t noise = batch.levels[s * count + i];
      float* target =
          noise == 0 ? image + batch.tokens[s * count + i] * d : level + (noise - 1) * d;
      add_row(row, d, target);
      add_row(row, d, position + (i + 1) * d);
    }
  }
}

}  // namespace sjd::train
