// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sjd/hosts/kernels.hpp"
#include "sjd/hosts/linear.hpp"
#include "sjd/hosts/llama_config.hpp"

namespace sjd::hosts {

/// Which keys and values: a slot is one (sequence, branch).
struct CacheHead {
  std::int64_t slot = 0;
  std::int64_t layer = 0;
  std::int64_t head = 0;
};

/// Keys and values of all sequences, in the panels that the product kernels read, in the storage of
/// the weights: bf16 ones halve what a pass reads and run on the matrix unit.
///
/// Lengths are kept by the owner; forgetting rows costs nothing, since a weight behind the end of a
/// row is zero.
class LlamaCache {
 public:
  LlamaCache(const LlamaConfig& config, std::int64_t slots, Storage storage)
      : layers_{config.layers},
        kv_heads_{config.kv_heads},
        head_dim_{config.head_dim},
        capacity_{(config.max_prompt_tokens + 1 + config.image_tokens() + panel_width - 1) /
                  panel_width * panel_width},
        wide_{storage == Storage::fp32 ? 2 * slots * slot_size() : 0},
        narrow_{storage == Storage::bf16 ? 2 * slots * slot_size() : 0} {}

  /// Rows that one slot can hold, a multiple of panel_width.
  [[nodiscard]] std::int64_t capacity() const noexcept { return capacity_; }

  /// Stores key and value [head_dim] of one head at `position`; `scratch` [head_dim].
  ///
  /// threads several may store rows of one slot at once
  void store(const KernelTable& kernel, CacheHead at, std::int64_t position, const float* key,
             const float* value, std::uint16_t* scratch) const {
    if (narrow_.size() == 0) {
      store_wide(at, position, key, value);
    } else {
      kernel.round_row(key, scratch, head_dim_);
      store_key(at, position, scratch);
      kernel.round_row(value, scratch, head_dim_);
      store_value(at, position, scratch);
    }
  }

  /// Products of query rows with the first `keys` keys of one head.
  ///
  /// shapes  queries [., head_dim]; scores [rows, capacity], written up to `keys` rounded up to a
  ///         multiple of 32
  void scores(const KernelTable& kernel, CacheHead at, const Activations& queries,
              std::int64_t first_row, std::int64_t rows, std::int64_t keys, float* scores) const {
    const std::int64_t panels = (keys + panel_width - 1) / panel_width;
    if (narrow_.size() == 0) {
      kernel.product_fp32({queries.wide(first_row), queries.stride(), rows, head_dim_,
                           wide_keys(at), head_dim_ * panel_width, panels, scores, capacity_,
                           false});
      return;
    }
    const std::int64_t blocks = head_dim_ / block_depth;
    kernel.product_bf16({queries.narrow(first_row), queries.stride(), rows, blocks,
                         words(narrow_keys(at)), blocks * 2 * half_block, panels, scores, capacity_,
                         false});
  }

  /// Values of one head, summed with weights that are zero behind the end of a row.
  ///
  /// shapes  weights [rows, keys or more], zero from `keys` to the next multiple of 32; mixed
  ///         [rows, head_dim], overwritten
  void mix(const KernelTable& kernel, CacheHead at, const Activations& weights, std::int64_t rows,
           std::int64_t keys, float* mixed) const {
    const std::int64_t panels = head_dim_ / panel_width;
    if (narrow_.size() == 0) {
      kernel.product_fp32({weights.wide(0), weights.stride(), rows, keys, wide_values(at),
                           capacity_ * panel_width, panels, mixed, head_dim_, false});
      return;
    }
    kernel.product_bf16({weights.narrow(0), weights.stride(), rows,
                         (keys + block_depth - 1) / block_depth, words(narrow_values(at)),
                         capacity_ / block_depth * 2 * half_block, panels, mixed, head_dim_,
                         false});
  }

 private:
  [[nodiscard]] std::int64_t head_size() const { return capacity_ * head_dim_; }
  [[nodiscard]] std::int64_t slot_size() const { return layers_ * kv_heads_ * head_size(); }
  /// Keys of a head stand in front of its values.
  [[nodiscard]] std::int64_t offset(CacheHead at) const {
    return ((at.slot * layers_ + at.layer) * kv_heads_ + at.head) * 2 * head_size();
  }
  [[nodiscard]] float* wide_keys(CacheHead at) const { return wide_.data() + offset(at); }
  [[nodiscard]] float* wide_values(CacheHead at) const { return wide_keys(at) + head_size(); }
  [[nodiscard]] std::uint16_t* narrow_keys(CacheHead at) const {
    return narrow_.data() + offset(at);
  }
  [[nodiscard]] std::uint16_t* narrow_values(CacheHead at) const {
    return narrow_keys(at) + head_size();
  }
  /// Pairs of numbers; the kernels read them as bytes.
  [[nodiscard]] static const std::uint32_t* words(const std::uint16_t* halves) {
    return reinterpret_cast<const std::uint32_t*>(halves);
  }

  void store_wide(CacheHead at, std::int64_t position, const float* key, const float* value) const {
    float* key_out =
        wide_keys(at) + position / panel_width * head_dim_ * panel_width + position % panel_width;
    float* value_out = wide_values(at) + position * panel_width;
    for (std::int64_t i = 0; i < head_dim_; ++i) key_out[i * panel_width] = key[i];
    for (std::int64_t i = 0; i < head_dim_; i += panel_width) {
      std::copy_n(value + i, panel_width, value_out + i * capacity_);
    }
  }

  /// A key is an output of its panel; its channels come in pairs.
  void store_key(CacheHead at, std::int64_t position, const std::uint16_t* key) const {
    const std::int64_t column = position % panel_width;
    std::uint16_t* out = narrow_keys(at) + position / panel_width * head_dim_ * panel_width +
                         column / 16 * 2 * half_block + column % 16 * 2;
    for (std::int64_t i = 0; i < head_dim_; i += 2) {
      std::copy_n(key + i, 2, out + i / block_depth * 4 * half_block + i % block_depth / 2 * 32);
    }
  }

  /// A value is one input: half of a pair in every channel.
  void store_value(CacheHead at, std::int64_t position, const std::uint16_t* value) const {
    std::uint16_t* out = narrow_values(at) + position / block_depth * 4 * half_block +
                         position % block_depth / 2 * 32 + position % 2;
    for (std::int64_t i = 0; i < head_dim_; ++i) {
      out[i / panel_width * capacity_ * panel_width + i % panel_width / 16 * 2 * half_block +
          i % 16 * 2] = value[i];
    }
  }

  std::int64_t layers_;
  std::int64_t kv_heads_;
  std::int64_t head_dim_;
  std::int64_t capacity_;
  // [slots, layers, kv_heads] of keys [capacity / 32, head_dim, 32] and values [head_dim / 32,
  // capacity, 32] as floats, or the same numbers in the panels of Bf16Product.
  AlignedArray<float> wide_;
  AlignedArray<std::uint16_t> narrow_;
};

}  // namespace sjd::hosts
