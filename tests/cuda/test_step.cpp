// SPDX-License-Identifier: Apache-2.0
// A library step is three launches and nothing else; plans of two launches make it four.
#include <type_traits>
#include <vector>

#include "cuda/kernel_arrays.hpp"
#include "sjd/core/error.hpp"
#include "sjd/cuda/launch.hpp"
#include "support/allocation_meter.hpp"
#include "support/catch.hpp"

namespace sjd::test {
namespace {

/// Notes what is launched and runs nothing. It has no other member that a step could call: no wait,
/// no allocation, no copy.
struct Recorder {
  cuda::Geometry geometry[8]{};
  const void* tables[8]{};
  int count = 0;

  template <class Kernel>
  void launch(const cuda::Geometry& shape, const typename Kernel::Arguments& arguments) {
    if (count == 8) return;
    geometry[count] = shape;
    if constexpr (requires { arguments.laws; }) {
      tables[count++] = arguments.laws.heads;
    } else {
      tables[count++] = arguments.batch.laws.heads;
    }
  }
};

cuda::StepArguments<float> step_of(DecodeArrays& all, const cuda::RowsPlan& plan) {
  cuda::StepArguments<float> step;
  step.plan = plan;
  step.sequences.batch = all.image.view();
  step.rows.logits = {all.logits.data(), 8, 64, 64};
  step.rows.tasks = all.tasks.data();
  step.rows.task_count = 8;
  step.rows.laws = step.sequences.batch.laws;
  step.window.batch = step.sequences.batch;
  step.window.rows = 4;
  step.window.tasks = all.tasks.data();
  return step;
}

}  // namespace

TEST_CASE("a step is three launches, no allocation, and has nothing to wait with") {
  DecodeArrays all{{.sequences = 2, .ring = 4, .most_tokens = 16, .capacity = 64}, 4, 64, {}};
  const auto step = step_of(all, cuda::plan_rows(64, 8, {}));
  Recorder recorder;
  meter.reset();
  {
    const Counting counting{true};
    cuda::decode_step(recorder, step);
  }
  REQUIRE(meter.calls == 0);
  REQUIRE(recorder.count == 3);
  REQUIRE(recorder.geometry[0] == step.plan.geometry);
  REQUIRE(recorder.geometry[1].clusters == 2);
  REQUIRE(recorder.geometry[2].clusters == 8);
  for (int i = 0; i < 3; ++i) REQUIRE(recorder.tables[i] == step.rows.laws.heads);
}

TEST_CASE("without clusters a large vocabulary costs one launch more") {
  DecodeArrays all{{.sequences = 2, .ring = 4, .most_tokens = 16, .capacity = 64}, 4, 64, {}};
  auto step =
      step_of(all, cuda::plan_rows(65536, 8, {.clusters = false, .shared_bytes = 99 * 1024}));
  step.rows.logits.columns = 65536;
  std::vector<std::uint32_t> keys(1);
  std::vector<cuda::RowPart> parts(1);
  step.rows.workspace = {keys.data(), parts.data()};
  Recorder recorder;
  cuda::decode_step(recorder, step);
  REQUIRE(recorder.count == 4);
  REQUIRE(recorder.geometry[0].clusters == 8 * step.plan.slices);
  REQUIRE(recorder.geometry[1].clusters == 8);
}

TEST_CASE("arguments that do not fit together are refused before the first launch") {
  DecodeArrays all{{.sequences = 2, .ring = 4, .most_tokens = 16, .capacity = 64}, 4, 64, {}};
  const auto good = step_of(all, cuda::plan_rows(64, 8, {}));
  Recorder recorder;
  auto bad = good;
  bad.rows.task_count = 7;
  REQUIRE_THROWS_AS(cuda::decode_step(recorder, bad), Error);
  bad = good;
  bad.plan = cuda::plan_rows(32, 8, {});
  REQUIRE_THROWS_AS(cuda::decode_step(recorder, bad), Error);
  bad = good;
  bad.plan = cuda::plan_rows(65536, 8, {.clusters = false, .shared_bytes = 99 * 1024});
  REQUIRE_THROWS_AS(cuda::decode_step(recorder, bad), Error);
  REQUIRE(recorder.count == 0);
}

}  // namespace sjd::test
