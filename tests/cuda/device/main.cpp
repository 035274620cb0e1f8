// SPDX-License-Identifier: Apache-2.0
// The cases of the host executor on a real device. Without one it says so and exits with 77, which
// ctest counts as skipped.
#include <cstdio>
#include <exception>
#include <string>

#include "cuda/decode_cases.hpp"
#include "cuda/device/runner.hpp"
#include "cuda/rows_cases.hpp"
#include "cuda/statistics_cases.hpp"

namespace sjd::test {
namespace {

using cuda::DrawKind;
using cuda::Judge;
using cuda::Refresh;

constexpr int skipped = 77;

struct Report {
  int passed = 0;
  int failed = 0;

  void operator()(const std::string& name, const std::string& difference) {
    (difference.empty() ? passed : failed) += 1;
    if (!difference.empty()) std::printf("FAILED %s: %s\n", name.c_str(), difference.c_str());
  }
};

struct OnDevice {
  bool as_graph = false;

  void operator()(const cuda::StepArguments<float>& step, const cuda::BatchShape& shape,
                  DecodeArrays& all, const EmbeddingTables& tables) const {
    step_on_device(step, shape, all, tables, as_graph);
  }
};

/// Rows of one vocabulary in every type, whole, in clusters and split.
void check_rows(std::int64_t vocab, std::int64_t tasks, Report& report) {
  const cuda::DeviceLimits own = device_plan_limits();
  cuda::DeviceLimits one_block = own;
  one_block.multiprocessors = 1;  // as few blocks as memory allows
  const cuda::DeviceLimits split{false, 64 * 1024, own.multiprocessors};
  for (const LogitType type : {LogitType::fp32, LogitType::bf16, LogitType::fp16}) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const RowsCase c{.type = type,
                       .vocab = vocab,
                       .tasks = tasks,
                       .draw = static_cast<DrawKind>(seed % 4),
                       .seed = seed,
                       .unaligned = seed == 2,
                       .bad_rows = seed == 3};
      for (const cuda::DeviceLimits& limits : {own, one_block, split}) {
        RowsBatch batch = make_rows(c);
        rows_on_device(batch, cuda::plan_rows(vocab, tasks, limits));
        report("rows, vocabulary " + std::to_string(vocab), rows_difference(c, batch));
      }
    }
  }
}

void check_decodes(Report& report) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    const OnDevice run{seed == 2};
    report("coupled SJD",
           clean_difference({}, seed, run, SpeculativeAcceptance{}, MaximalCoupling{}));
    report("Gumbel equality",
           clean_difference({Judge::shared_noise, Refresh::drawn, DrawKind::gumbel}, seed, run,
                            GumbelEquality{}, GumbelCoupling{}));
    report("coupled SJD2", noisy_difference({}, seed, run, PosteriorMean{}, SpeculativeAcceptance{},
                                            MaximalCoupling{}));
  }
}

void check_statistics(Report& report) {
  for (const bool per_channel : {true, false}) {
    for (const float offset : {0.0F, 1.0e6F}) {
      StatisticsArrays all = statistics_of(300, 70, per_channel, offset);
      statistics_on_device(all);
      report("statistics", statistics_difference(all));
    }
  }
}

int run_all(bool small) {
  std::string why;
  const std::string device = device_name(why);
  if (device.empty()) {
    std::printf("skipped: no CUDA device (%s)\n", why.c_str());
    return skipped;
  }
  Report report;
  for (const std::int64_t vocab : {1, 2, 31, 512}) check_rows(vocab, 12, report);
  if (!small) {
    for (const std::int64_t vocab : {8192, 32768, 184622}) check_rows(vocab, 24, report);
  }
  check_decodes(report);
  check_statistics(report);
  std::printf("%s: %d passed, %d failed\n", device.c_str(), report.passed, report.failed);
  return report.failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace sjd::test

/// With an argument: small cases only, for tools that slow everything down.
int main(int count, char**) {
  try {
    return sjd::test::run_all(count > 1);
  } catch (const std::exception& error) {
    std::printf("FAILED: %s\n", error.what());
    return 1;
  }
}
