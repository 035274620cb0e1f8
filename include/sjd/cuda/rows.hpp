// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "sjd/core/draw.hpp"
#include "sjd/core/error.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/core/sampling.hpp"
#include "sjd/cuda/detail/rows_kernel.hpp"

/// The *rows* kernel: from logits to laws and draws.
namespace sjd::cuda {

/// What a device can give one block.
struct DeviceLimits {
  bool clusters = true;                    ///< compute capability 9.0 or later
  std::int64_t shared_bytes = 227 * 1024;  ///< shared memory of a block, opt-in
  std::int64_t multiprocessors = 132;

  friend bool operator==(const DeviceLimits&, const DeviceLimits&) = default;
};

/// How rows are cut for a device. No result depends on it.
struct RowsPlan {
  Geometry geometry;        ///< of the launch, or of the second one
  std::int64_t slice = 0;   ///< logits of a block, a multiple of 32
  bool split = false;       ///< two launches: keys go through RowsWorkspace
  std::int64_t slices = 1;  ///< of a row, in the first of two launches

  friend bool operator==(const RowsPlan&, const RowsPlan&) = default;
};

namespace detail {

/// Clusters with blocks as few as memory allows, and twice as many as long as `pays(blocks, slice)`
/// says so of the blocks that there are and the slice that each of the new ones would have. A row
/// that the largest cluster cannot hold beside `fixed` bytes a block: split, in one block.
template <class Pays>
[[nodiscard]] RowsPlan plan_clusters(std::int64_t vocab, std::int64_t clusters, std::size_t fixed,
                                     const DeviceLimits& limits, const Pays& pays) {
  const std::int64_t bytes = limits.shared_bytes - static_cast<std::int64_t>(fixed);
  const std::int64_t fits = std::max<std::int64_t>(0, bytes / 4 * 32 / 33 / 32 * 32);
  const auto slice_of = [&](std::int64_t blocks) {
    return (vocab + 32 * blocks - 1) / (32 * blocks) * 32;
  };
  const std::int64_t most_blocks = limits.clusters ? 8 : 1;
  std::int64_t blocks = 1;
  while (blocks < most_blocks && (slice_of(blocks) > fits || pays(blocks, slice_of(2 * blocks)))) {
    blocks *= 2;
  }
  RowsPlan plan;
  plan.split = slice_of(blocks) > fits;
  if (plan.split) blocks = 1;
  plan.slice = slice_of(blocks);
  const auto words = static_cast<std::size_t>(padded(static_cast<std::int32_t>(plan.slice)));
  plan.geometry = {clusters, static_cast<int>(blocks), most_threads, plan.split ? 0 : words};
  return plan;
}

}  // namespace detail

/// One cluster a row, its blocks as few as memory allows and as many as fill the device; where a
/// row does not fit (no clusters, large vocabulary), two launches.
///
/// errors  invalid_argument for a vocabulary outside 1 .. 2^18
[[nodiscard]] inline RowsPlan plan_rows(std::int64_t vocab, std::int64_t rows,
                                        const DeviceLimits& limits) {
  expects(vocab >= 1 && vocab <= detail::most_vocab, ErrorCode::invalid_argument,
          "plan_rows: the vocabulary must be in 1 .. 2^18");
  constexpr std::int64_t worth_a_block = 4'096;
  RowsPlan plan = detail::plan_clusters(vocab, rows, sizeof(detail::RowsShared), limits,
                                        [&](std::int64_t blocks, std::int64_t slice) {
                                          return rows * blocks < limits.multiprocessors &&
                                                 slice >= worth_a_block;
                                        });
  if (plan.split) plan.slice = std::min<std::int64_t>(plan.slice, 8'192);
  plan.slices = (vocab + plan.slice - 1) / plan.slice;
  return plan;
}

/// The arguments as the kernels of a plan take them.
template <class Logit>
[[nodiscard]] RowsArguments<Logit> with_plan(const RowsPlan& plan,
                                             const RowsArguments<Logit>& arguments) {
  RowsArguments<Logit> launched = arguments;
  launched.slice = plan.split ? plan.slices * plan.slice : plan.slice;
  launched.part = plan.slice;
  launched.parts = plan.slices;
  const auto address = reinterpret_cast<std::uintptr_t>(arguments.logits.data);
  launched.aligned = address % (4 * sizeof(Logit)) == 0 && arguments.logits.stride % 4 == 0;
  return launched;
}

/// Turns every row into its law and draws from it: guidance of all branches, grammar, temperature,
/// top-k, top-p, integer masses, inverse CDF or race. Logits are read once. The laws and tokens are
/// those of cpu::RowPipeline and PhiloxGate, bit for bit, whatever the plan.
///
/// shapes  see RowsArguments; one cluster for each task
/// memory  all pointers in the launcher's memory; nothing is allocated
/// edge    a task with sequence < 0 is skipped, its law left alone; a forced position has a point
///         law, its logits are not read
/// errors  invalid_argument for views that do not fit the plan; a bad row is a RowStatus in its
///         law's head, see check_row
template <class Launcher, class Logit>
void rows(Launcher& launcher, const RowsPlan& plan, const RowsArguments<Logit>& arguments) {
  const std::int64_t cuts = plan.split ? plan.slices : plan.geometry.blocks;
  expects(arguments.logits.columns >= 1 && arguments.logits.columns <= detail::most_vocab &&
              plan.geometry.clusters == arguments.task_count && plan.slice % 32 == 0 &&
              cuts * plan.slice >= arguments.logits.columns,
          ErrorCode::invalid_argument,
          "cuda::rows: the plan is of another vocabulary or row count");
  expects(
      !plan.split || (arguments.workspace.keys != nullptr && arguments.workspace.parts != nullptr),
      ErrorCode::invalid_argument, "cuda::rows: a split plan needs a workspace");
  const RowsArguments<Logit> launched = with_plan(plan, arguments);
  if (plan.split) {
    launcher.template launch<detail::RowsKernel<Logit, detail::RowsPart::first>>(
        Geometry{arguments.task_count * plan.slices, 1, plan.geometry.threads, 0}, launched);
    launcher.template launch<detail::RowsKernel<Logit, detail::RowsPart::second>>(plan.geometry,
                                                                                  launched);
  } else {
    launcher.template launch<detail::RowsKernel<Logit, detail::RowsPart::whole>>(plan.geometry,
                                                                                 launched);
  }
}

}  // namespace sjd::cuda
