// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "sjd/hosts/corrector_head.hpp"
#include "support/table_law.hpp"

namespace sjd::test {

/// Numbers of bf16 in [-gain, gain].
inline std::vector<float> bf16_numbers(std::uint64_t seed, std::int64_t count, float gain) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    const float x = gain * TableRule::unit(mix(seed * 1000003 + static_cast<std::uint64_t>(i)));
    values.push_back(std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xFFFF0000U));
  }
  return values;
}

constexpr std::int64_t random_head_width = 64;

/// A corrector head of random weights in fp32 storage that looks at neighbours 1, 2 and 5; its
/// width is more than the threads of a small block.
inline std::shared_ptr<hosts::CorrectorHead> random_head(std::int64_t vocab, std::int64_t dim,
                                                         std::uint64_t model_seed) {
  using hosts::PackedLinear;
  using hosts::RowTable;
  constexpr auto fp32 = hosts::Storage::fp32;
  constexpr std::int64_t width = random_head_width;
  const std::uint64_t seed = model_seed * 16;
  hosts::CorrectorWeights w;
  w.neighbours = {1, 2, 5};
  w.storage = fp32;
  w.vocab = vocab;
  w.width = width;
  w.distances = 3;
  w.now = RowTable{bf16_numbers(seed + 1, 3 * (vocab + 1) * width, 0.7F), width, fp32};
  w.before = RowTable{bf16_numbers(seed + 2, 3 * (vocab + 1) * width, 0.7F), width, fp32};
  w.changed = RowTable{bf16_numbers(seed + 3, 3 * width, 0.7F), width, fp32};
  w.distance = RowTable{bf16_numbers(seed + 4, 3 * width, 0.7F), width, fp32};
  w.inner_bias = bf16_numbers(seed + 5, width, 0.5F);
  w.input = PackedLinear{bf16_numbers(seed + 6, width * 2 * dim, 0.3F), width, 2 * dim, fp32};
  w.inner = PackedLinear{bf16_numbers(seed + 7, width * width, 0.3F), width, width, fp32};
  w.output = PackedLinear{bf16_numbers(seed + 8, vocab * width, 0.6F), vocab, width, fp32};
  return std::make_shared<hosts::CorrectorHead>(std::move(w), hosts::InstructionSet::scalar, 1);
}

}  // namespace sjd::test
