// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "sjd/hosts/kernels.hpp"
#include "sjd/hosts/linear.hpp"
#include "sjd/hosts/llama_config.hpp"

namespace sjd::hosts {

/// Keys and values of all sequences, in the panels that the product kernels read.
///
/// A slot is one (sequence, branch). Lengths are kept by the owner; forgetting rows costs nothing.
class LlamaCache {
 public:
  LlamaCache(const LlamaConfig& config, std::int64_t slots)
      : layers_{config.layers},
        kv_heads_{config.kv_heads},
        head_dim_{config.head_dim},
        capacity_{(config.max_prompt_tokens + 1 + config.image_tokens() + panel_width - 1) /
                  panel_width * panel_width},
        keys_{slots * layers_ * kv_heads_ * head_size()},
        values_{slots * layers_ * kv_heads_ * head_size()} {}

  /// Rows that one slot can hold, a multiple of panel_width.
  [[nodiscard]] std::int64_t capacity() const noexcept { return capacity_; }

  /// Keys of one head: panels [capacity / 32, head_dim, 32], the position running fastest.
  [[nodiscard]] float* keys(std::int64_t slot, std::int64_t layer, std::int64_t head) const {
    return keys_.data() + head_offset(slot, layer, head);
  }
  /// Values of one head: panels [head_dim / 32, capacity, 32], the channel running fastest.
  [[nodiscard]] float* values(std::int64_t slot, std::int64_t layer, std::int64_t head) const {
    return values_.data() + head_offset(slot, layer, head);
  }

  /// Stores key and value [head_dim] of one head at `position`.
  void store(std::int64_t slot, std::int64_t layer, std::int64_t head, std::int64_t position,
             const float* key, const float* value) const {
    float* key_out = keys(slot, layer, head) + position / panel_width * head_dim_ * panel_width +
                     position % panel_width;
    float* value_out = values(slot, layer, head) + position * panel_width;
    for (std::int64_t i = 0; i < head_dim_; ++i) key_out[i * panel_width] = key[i];
    for (std::int64_t i = 0; i < head_dim_; i += panel_width) {
      std::copy_n(value + i, panel_width, value_out + i * capacity_);
    }
  }

 private:
  [[nodiscard]] std::int64_t head_size() const { return capacity_ * head_dim_; }
  [[nodiscard]] std::int64_t head_offset(std::int64_t slot, std::int64_t layer,
                                         std::int64_t head) const {
    return ((slot * layers_ + layer) * kv_heads_ + head) * head_size();
  }

  std::int64_t layers_;
  std::int64_t kv_heads_;
  std::int64_t head_dim_;
  std::int64_t capacity_;
  AlignedArray<float> keys_;    // [slots, layers, kv_heads, capacity / 32, head_dim, 32]
  AlignedArray<float> values_;  // [slots, layers, kv_heads, head_dim / 32, capacity, 32]
};

}  // namespace sjd::hosts
