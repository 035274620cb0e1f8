// SPDX-License-Identifier: Apache-2.0
// The rows kernel on the host executor gives the bits of the CPU path, whatever the launch shape,
// the order of threads and blocks, or what shared memory held before.
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/rows_cases.hpp"
#include "sjd/cuda/launch.hpp"
#include "support/catch.hpp"

namespace sjd::test {
namespace {

using cuda::DrawKind;
using cuda::RowsPlan;

template <class Logit>
void run_typed(RowsBatch& batch, const RowsPlan& plan, cuda::HostOrder order, const Logit* logits) {
  auto arguments = rows_arguments<Logit>(batch, logits);
  const auto laws = batch.tasks.size() * static_cast<std::size_t>(batch.capacity);
  batch.heads.assign(batch.tasks.size(), {});
  batch.ids.assign(laws, -1);
  batch.masses.assign(laws, 0);
  arguments.tasks = batch.tasks.data();
  arguments.settings = batch.settings.data();
  arguments.grammar = batch.grammar.table();
  arguments.laws = {batch.heads.data(), batch.ids.data(), batch.masses.data(),
                    std::ssize(batch.tasks), batch.capacity};
  std::vector<std::uint32_t> keys(
      plan.split ? batch.tasks.size() * static_cast<std::size_t>(batch.vocab) : 0);
  std::vector<cuda::RowPart> parts(
      plan.split ? batch.tasks.size() * static_cast<std::size_t>(plan.slices) : 0);
  if (plan.split) arguments.workspace = {keys.data(), parts.data()};
  cuda::HostLauncher launcher{order};
  cuda::rows(launcher, plan, arguments);
}

void run_on_host(RowsBatch& batch, const RowsPlan& plan, cuda::HostOrder order = {}) {
  const auto* bits = batch.short_logits.data();
  if (batch.type == LogitType::fp32) run_typed(batch, plan, order, batch.logits.data());
  if (batch.type == LogitType::bf16) {
    run_typed(batch, plan, order, reinterpret_cast<const cuda::Bf16*>(bits));
  }
  if (batch.type == LogitType::fp16) {
    run_typed(batch, plan, order, reinterpret_cast<const cuda::Fp16*>(bits));
  }
}

/// A plan for a device that is small in every way, so that small rows are cut as large ones are.
RowsPlan plan_of(const RowsBatch& batch, int threads, int blocks, bool split) {
  RowsPlan plan;
  plan.split = split;
  const std::int64_t cuts = split ? 3 : blocks;
  plan.slice = (batch.vocab + 32 * cuts - 1) / (32 * cuts) * 32;
  plan.slices = (batch.vocab + plan.slice - 1) / plan.slice;
  const auto words =
      static_cast<std::size_t>(cuda::detail::padded(static_cast<std::int32_t>(plan.slice)));
  plan.geometry = {std::ssize(batch.tasks), split ? 1 : blocks, threads, split ? 0 : words};
  return plan;
}

std::string check(const RowsCase& c, int threads, int blocks, bool split,
                  cuda::HostOrder order = {}) {
  RowsBatch batch = make_rows(c);
  run_on_host(batch, plan_of(batch, threads, blocks, split), order);
  return rows_difference(c, batch);
}

}  // namespace

TEST_CASE("rows of every type, size and kind have the law and the draw of the CPU path") {
  for (const LogitType type : {LogitType::fp32, LogitType::bf16, LogitType::fp16}) {
    for (const std::int64_t vocab : {1, 2, 31, 100, 512}) {
      for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        const RowsCase c{.type = type,
                         .vocab = vocab,
                         .tasks = 12,
                         .draw = static_cast<DrawKind>(seed % 4),
                         .seed = seed,
                         .unaligned = seed % 2 == 0};
        CHECK(check(c, 32, 1, false) == "");
      }
    }
  }
}

TEST_CASE("large rows have the law and the draw of the CPU path") {
  CHECK(check({.type = LogitType::bf16, .vocab = 8192, .tasks = 12}, 512, 1, false) == "");
  CHECK(check({.type = LogitType::fp16, .vocab = 8190, .tasks = 8, .draw = DrawKind::gumbel}, 256,
              2, false) == "");
  CHECK(check({.type = LogitType::fp32, .vocab = 65536, .tasks = 4, .draw = DrawKind::gumbel}, 512,
              4, false) == "");
  CHECK(check({.type = LogitType::fp32, .vocab = 65536, .tasks = 4, .seed = 2}, 512, 1, true) ==
        "");
}

TEST_CASE("no launch shape and no split changes a law") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    const RowsCase c{
        .vocab = 700, .tasks = 8, .draw = static_cast<DrawKind>(seed % 4), .seed = seed};
    for (const int threads : {32, 64, 128, 256, 512}) CHECK(check(c, threads, 1, false) == "");
    for (const int blocks : {2, 4, 8}) CHECK(check(c, 32, blocks, false) == "");
    CHECK(check(c, 64, 1, true) == "");
  }
}

TEST_CASE("no order of threads and blocks, and nothing that memory held, changes a law") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const RowsCase c{.vocab = 300, .tasks = 6, .draw = static_cast<DrawKind>(seed % 4), .seed = 7};
    const auto poison = static_cast<unsigned char>(0xFF - 37 * seed);
    CHECK(check(c, 32, 4, false, {.seed = seed, .poison = poison}) == "");
    CHECK(check(c, 32, 1, true, {.seed = seed, .poison = poison}) == "");
  }
}

TEST_CASE("a row of NaN, +Inf or nothing at all says so, and names the token") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const RowsCase c{.vocab = 200,
                     .tasks = 10,
                     .draw = static_cast<DrawKind>(seed % 4),
                     .seed = seed,
                     .bad_rows = true};
    CHECK(check(c, 32, 1 + static_cast<int>(seed % 2), false) == "");
    CHECK(check(c, 32, 1, true) == "");
  }
}

TEST_CASE("a law that is larger than its room is refused, not cut") {
  RowsBatch batch = make_rows({.vocab = 100, .tasks = 6});
  for (auto& settings : batch.settings) settings.sampling = {};
  batch.capacity = 3;
  run_on_host(batch, plan_of(batch, 32, 1, false));
  std::int64_t refused = 0;
  for (std::size_t i = 1; i < batch.heads.size(); ++i) {
    if (batch.heads[i].status != cuda::RowStatus::law_overflow) continue;
    ++refused;
    REQUIRE_THROWS_AS(cuda::check_row(batch.heads[i], 4, 11), Error);
  }
  REQUIRE(refused > 0);
}

TEST_CASE("plans keep every slice within the device's shared memory") {
  for (const std::int64_t vocab : {1, 512, 8192, 16384, 32768, 65536, 184622, 262144}) {
    for (const std::int64_t kilobytes : {99, 163, 227}) {
      for (const bool clusters : {false, true}) {
        const cuda::DeviceLimits limits{clusters, kilobytes * 1024, 132};
        const RowsPlan plan = cuda::plan_rows(vocab, 96, limits);
        const std::int64_t bytes =
            static_cast<std::int64_t>(plan.geometry.words * 4 + sizeof(cuda::detail::RowsShared));
        CAPTURE(vocab, kilobytes, clusters);
        REQUIRE(bytes <= limits.shared_bytes);
        REQUIRE((plan.split ? plan.slices : plan.geometry.blocks) * plan.slice >= vocab);
        REQUIRE((clusters || plan.geometry.blocks == 1));
      }
    }
  }
  REQUIRE_THROWS_AS(cuda::plan_rows(cuda::detail::most_vocab + 1, 1, {}), Error);
}

}  // namespace sjd::test
