// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cuda/kernel_arrays.hpp"
#include "cuda/loop_arrays.hpp"

/// Kernel runs on a real device, for tests that are compiled without nvcc.
namespace sjd::test {

/// Name of the device, empty if there is none; `why` says why.
std::string device_name(std::string& why);

/// Limits of the device for plans.
cuda::DeviceLimits device_plan_limits();

/// Runs the rows kernel over host arrays, copied there and back.
void rows_on_device(RowsBatch& batch, const cuda::RowsPlan& plan);

/// Runs one library step over host arrays, copied there and back; `as_graph`: captured into a CUDA
/// graph of three nodes, which is then replayed.
void step_on_device(const cuda::StepArguments<float>& step, const cuda::BatchShape& shape,
                    DecodeArrays& all, const EmbeddingTables& tables, bool as_graph);

/// Whether graphs may have a WHILE node here.
bool loops_on_device();

/// What a loop took.
struct LoopGraphs {
  std::int64_t captures = 0;
  bool looks = false;  ///< as a WHILE node to the end
};

/// Decodes all pictures of a case in a loop; `looks`: as a WHILE node, else as replays; `head`: of
/// a corrector, in host memory, or null; `limits`: of the plans.
std::vector<DecoderState> loop_on_device(const LoopCase& loop, bool looks,
                                         const cuda::DeviceLimits& limits,
                                         const cuda::HeadTables* head, LoopGraphs& out_graphs);

/// Runs the statistics kernels over host arrays, copied there and back.
void statistics_on_device(StatisticsArrays& all);

}  // namespace sjd::test
