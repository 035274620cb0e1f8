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
    } else if constexpr (requires { arguments.sequences; }) {
      tables[count++] = arguments.sequences.batch.laws.heads;
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

TEST_CASE("a step with a corrector is four launches, no allocation, and has nothing to wait with") {
  DecodeArrays all{{.sequences = 2, .ring = 4, .most_tokens = 16, .capacity = 64}, 4, 64, {}};
  const auto plain = step_of(all, cuda::plan_rows(64, 8, {}));
  cuda::StepArguments<float, cuda::HeadChange> step{
      plain.plan, plain.rows, plain.sequences, plain.window, cuda::plan_redraw(64, 2, {}), {}};
  step.sequences.verdicts = all.verdicts.data();
  step.sequences.depth = 2;
  Recorder recorder;
  meter.reset();
  {
    const Counting counting{true};
    cuda::decode_step(recorder, step);
  }
  REQUIRE(meter.calls == 0);
  REQUIRE(recorder.count == 4);
  REQUIRE(recorder.geometry[2] == step.redraw_plan.geometry);
  REQUIRE(recorder.geometry[2].clusters == 2);
  for (int i = 0; i < 4; ++i) REQUIRE(recorder.tables[i] == step.rows.laws.heads);
}

TEST_CASE("plans of the redraw kernel keep every slice within the device's shared memory") {
  for (const std::int64_t vocab : {1, 512, 8192, 16384, 32768, 65536, 184622, 262144}) {
    for (const std::int64_t kilobytes : {99, 163, 227}) {
      for (const bool clusters : {false, true}) {
        const cuda::DeviceLimits limits{clusters, kilobytes * 1024, 132};
        const cuda::RowsPlan plan = cuda::plan_redraw(vocab, 4, limits);
        using Shared = cuda::detail::RedrawShared<cuda::HeadChange::Shared>;
        CAPTURE(vocab, kilobytes, clusters);
        REQUIRE(static_cast<std::int64_t>(plan.geometry.words * 4 + sizeof(Shared)) <=
                limits.shared_bytes);
        REQUIRE(plan.geometry.blocks * plan.slice >= vocab);
        REQUIRE((clusters || plan.geometry.blocks == 1));
        REQUIRE((!plan.split || plan.geometry.blocks == 1));
      }
    }
  }
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
  bad.sequences.depth = 3;
  REQUIRE_THROWS_AS(cuda::decode_step(recorder, bad), Error);
  bad = good;
  bad.sequences.verdicts = all.verdicts.data();
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
