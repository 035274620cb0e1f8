// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/core/config.hpp"
#include "sjd/cuda/detail/llama_numbers.hpp"

namespace sjd::cuda {

/// Keys and values of all slots; a slot is one (sequence, branch). Lengths are nobody's: a row sees
/// what lies at and before its own position, so forgetting costs nothing.
///
/// shapes  keys [slots, layers, kv_heads, capacity, head_dim]; values the same, but bf16 ones of
///         positions 2n and 2n + 1 alternate: [.., capacity / 2, head_dim, 2], the pairs that a
///         tensor core takes
/// memory  borrowed; capacity a multiple of 64; finite numbers everywhere, zeros to begin with
template <StoredNumber Number>
struct KeyValueCache {
  Number* keys = nullptr;
  Number* values = nullptr;
  std::int64_t slots = 0;
  std::int64_t layers = 0;
  std::int64_t kv_heads = 0;
  std::int64_t capacity = 0;
  std::int64_t head_dim = 0;

  /// Numbers of keys, and of values.
  [[nodiscard]] SJD_HOST_DEVICE std::int64_t size() const {
    return slots * layers * kv_heads * capacity * head_dim;
  }
  /// Where the numbers of one head begin, in keys and in values.
  [[nodiscard]] SJD_HOST_DEVICE std::int64_t head(std::int64_t slot, std::int64_t layer,
                                                  std::int64_t kv_head) const {
    return ((slot * layers + layer) * kv_heads + kv_head) * capacity * head_dim;
  }
  /// Place of a number within a head's keys.
  [[nodiscard]] SJD_HOST_DEVICE std::int64_t key(std::int64_t position, std::int64_t d) const {
    return position * head_dim + d;
  }
  /// Place of a number within a head's values.
  [[nodiscard]] SJD_HOST_DEVICE std::int64_t value(std::int64_t position, std::int64_t d) const {
    constexpr std::int64_t pack = detail::pack_size<Number>;
    return (position / pack * head_dim + d) * pack + position % pack;
  }
};

}  // namespace sjd::cuda
