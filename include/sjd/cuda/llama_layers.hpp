// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "sjd/core/error.hpp"
#include "sjd/cuda/detail/attention_kernel.hpp"
#include "sjd/cuda/detail/llama_row_kernels.hpp"
#include "sjd/cuda/detail/rotary_kernel.hpp"

/// What a LLaMA-family model does between its matrix products, one launch each. A pass is groups of
/// rows, one group a (sequence, branch); memory is the launcher's, nothing is allocated or awaited.
namespace sjd::cuda {

/// Says where every row of a pass stands, from the rows themselves.
///
/// shapes  see PlaceArguments
/// edge    a row that the model cannot take is RowKind::bad; the live rows of a group are of one
///         slot
template <class Launcher>
void place_rows(Launcher& launcher, const PlaceArguments& a) {
  launcher.template launch<detail::PlaceKernel>(Geometry{a.group_count, 1, 64, 0}, a);
}

/// Input rows of the first layer: token or fed embedding, level and position embedding.
///
/// shapes  see EmbedArguments
/// edge    absent rows are zeros; bad rows, and rows fed a number that is not finite, are NaN and
///         become RowKind::bad
/// source  docs/checkpoint.md, "The model"
template <class Launcher, StoredNumber Number>
void embed_rows(Launcher& launcher, const EmbedArguments<Number>& a, int threads = 256) {
  launcher.template launch<detail::EmbedKernel<Number>>(Geometry{a.row_count, 1, threads, 0}, a);
}

/// y = x / sqrt(mean(x^2) + epsilon) * weight, of all rows or of those that are gathered.
///
/// shapes  see NormArguments
/// order   the sum of a row is grouped by `threads`, whatever the other rows are
template <class Launcher, StoredNumber Number>
void norm_rows(Launcher& launcher, const NormArguments<Number>& a, int threads = 256) {
  launcher.template launch<detail::NormKernel<Number>>(Geometry{a.row_count, 1, threads, 0}, a);
}

/// Norms (if there are norm weights) and rotates queries and keys by position; queries stay where
/// they are, keys and values go to the cache.
///
/// shapes  see RotaryArguments
/// edge    rows that are not live leave the cache alone; numbers that are not finite are stored as
///         zeros, the row itself still shows them
template <class Launcher, StoredNumber Number>
void rotate_and_store(Launcher& launcher, const RotaryArguments<Number>& a, int threads = 256) {
  const std::int64_t lines = a.q_norm == nullptr ? 0 : a.heads + a.cache.kv_heads;
  const auto words = static_cast<std::size_t>(lines * detail::RotaryKernel<Number>::parts);
  launcher.template launch<detail::RotaryKernel<Number>>(Geometry{a.row_count, 1, threads, words},
                                                         a);
}

/// How many blocks share the keys of a query: enough that the device is full twice, 8 at most.
[[nodiscard]] inline std::int64_t attention_splits(std::int64_t blocks,
                                                   std::int64_t multiprocessors) {
  return std::clamp<std::int64_t>(2 * multiprocessors / std::max<std::int64_t>(1, blocks), 1, 8);
}

/// Most (row, split) pairs of a pass of at most `most_rows` rows; what AttentionArguments::mixed
/// and results must hold of each head.
[[nodiscard]] inline std::int64_t attention_workspace(std::int64_t most_rows, std::int64_t heads,
                                                      std::int64_t multiprocessors) {
  const std::int64_t shared = 2 * multiprocessors * detail::attention_queries / heads + 1;
  return std::max(most_rows, std::min(8 * most_rows, most_rows + shared));
}

namespace detail {

template <int Dim, class Launcher, StoredNumber Number>
void launch_attention(Launcher& launcher, const AttentionArguments<Number>& a) {
  using Kernel = AttentionKernel<Number, Dim>;
  launcher.template launch<Kernel>(
      Geometry{a.group_count * a.cache.kv_heads * query_tiles(a) * a.splits, 1, attention_threads,
               static_cast<std::size_t>(Kernel::words)},
      a);
}

}  // namespace detail

/// Every query over the keys at and before its own position; fp32 sums, tensor cores for bf16. One
/// launch, two with more than one split.
///
/// shapes  see AttentionArguments
/// edge    rows that are not live become zeros
/// errors  invalid_argument unless head_dim is 32, 64 or 128
/// source  docs/checkpoint.md, "The model"
template <class Launcher, StoredNumber Number>
void attend(Launcher& launcher, const AttentionArguments<Number>& a) {
  if (a.cache.head_dim == 32) {
    detail::launch_attention<32>(launcher, a);
  } else if (a.cache.head_dim == 64) {
    detail::launch_attention<64>(launcher, a);
  } else if (a.cache.head_dim == 128) {
    detail::launch_attention<128>(launcher, a);
  } else {
    throw Error{ErrorCode::invalid_argument, "cuda::attend: head_dim must be 32, 64 or 128"};
  }
  if (a.splits == 1) return;
  launcher.template launch<detail::CombineKernel<Number>>(
      Geometry{a.group_count * a.rows, 1, 256, 0}, a);
}

/// silu(gate) * up.
///
/// shapes  see ActivateArguments
template <class Launcher, StoredNumber Number>
void activate(Launcher& launcher, const ActivateArguments<Number>& a, int threads = 256) {
  const std::int64_t size = std::int64_t{detail::ActivateKernel<Number>::each} * threads;
  launcher.template launch<detail::ActivateKernel<Number>>(
      Geometry{a.row_count * ((a.inner + size - 1) / size), 1, threads, 0}, a);
}

/// Numbers of a random model, the same on every machine.
///
/// shapes  see FillArguments
template <class Launcher, StoredNumber Number>
void fill_random(Launcher& launcher, const FillArguments<Number>& a, int threads = 256) {
  const std::int64_t size = std::int64_t{detail::FillKernel<Number>::each} * threads;
  launcher.template launch<detail::FillKernel<Number>>(
      Geometry{(a.size + size - 1) / size, 1, threads, 0}, a);
}

}  // namespace sjd::cuda
