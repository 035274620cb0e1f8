// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/kernel_arrays.hpp"
#include "sjd/policies/normalization.hpp"
#include "support/table_law.hpp"

namespace sjd::test {

/// A table of small spread around `offset`; one channel and one row have none.
inline StatisticsArrays statistics_of(std::int64_t vocab, std::int64_t dim, bool per_channel,
                                      float offset) {
  StatisticsArrays all{.vocab = vocab, .dim = dim, .per_channel = per_channel};
  for (std::int64_t i = 0; i < vocab * dim; ++i) {
    const std::uint64_t h = mix(static_cast<std::uint64_t>(i) + 1);
    const bool flat = i % dim == dim - 1 || i / dim == vocab / 2;
    all.table.push_back(flat ? offset : offset + static_cast<float>(h % 64) / 4.0F);
  }
  all.normalized.resize(all.table.size());
  all.mean.resize(static_cast<std::size_t>(dim));
  all.scale.resize(static_cast<std::size_t>(dim));
  all.rows.resize(static_cast<std::size_t>(vocab));
  return all;
}

/// Compares with make_embedding_space, bit for bit.
inline std::string statistics_difference(const StatisticsArrays& all) {
  const MatrixView<const float> table{all.table.data(), all.vocab, all.dim};
  const EmbeddingSpace space = all.per_channel
                                   ? make_embedding_space(table, {}, PerChannelNormalization{})
                                   : make_embedding_space(table, {}, PerTokenNormalization{});
  const auto equal = [](const std::vector<float>& a, const std::vector<float>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i])) return false;
    }
    return a.size() == b.size();
  };
  if (!equal(all.mean, space.mean)) return "the means differ";
  if (!equal(all.scale, space.scale)) return "the scales differ";
  return equal(all.normalized, space.normalized) ? "" : "the normalised tables differ";
}

/// The arguments over host arrays.
inline cuda::StatisticsArguments statistics_arguments(StatisticsArrays& all) {
  return {{all.table.data(), all.vocab, all.dim},
          all.per_channel,
          all.normalized.data(),
          all.mean.data(),
          all.scale.data(),
          all.rows.data()};
}

}  // namespace sjd::test
