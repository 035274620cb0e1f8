// SPDX-License-Identifier: Apache-2.0
// The cases of the host executor on a real device. Without one it says so and exits with 77, which
// ctest counts as skipped.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "cuda/decode_cases.hpp"
#include "cuda/device/runner.hpp"
#include "cuda/loop_cases.hpp"
#include "cuda/rows_cases.hpp"
#include "cuda/statistics_cases.hpp"

// The corrector head is read from a file of the reference host.
#if __has_include(<nlohmann/json.hpp>)
#define SJD_TEST_HEAD 1
#include "cuda/hidden_host.hpp"
#else
#define SJD_TEST_HEAD 0
#endif

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

/// Rows of one vocabulary in every type, whole, split and in clusters, which a small vocabulary has
/// only where blocks have room for 96 logits: tools that slow everything down see them too.
void check_rows(std::int64_t vocab, std::int64_t tasks, Report& report) {
  const cuda::DeviceLimits own = device_plan_limits();
  cuda::DeviceLimits one_block = own;
  one_block.multiprocessors = 1;  // as few blocks as memory allows
  const cuda::DeviceLimits split{false, 64 * 1024, own.multiprocessors};
  constexpr std::int64_t padded = 96 * 33 / 32;
  const cuda::DeviceLimits tight{
      own.clusters, static_cast<std::int64_t>(sizeof(cuda::detail::RowsShared)) + 4 * padded,
      own.multiprocessors};
  for (const LogitType type : {LogitType::fp32, LogitType::bf16, LogitType::fp16}) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const RowsCase c{.type = type,
                       .vocab = vocab,
                       .tasks = tasks,
                       .draw = static_cast<DrawKind>(seed % 4),
                       .seed = seed,
                       .unaligned = seed == 2,
                       .bad_rows = seed == 3};
      for (const cuda::DeviceLimits& limits : {own, one_block, split, tight}) {
        if (limits == tight && vocab > 8 * 96) continue;
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

struct LoopOnDevice {
  bool looks = false;
  cuda::DeviceLimits limits{};
  LoopGraphs& out_graphs;

  template <class Denoiser>
  std::vector<DecoderState> operator()(const LoopCase& loop, Denoiser& denoiser) const {
#if SJD_TEST_HEAD
    if constexpr (Denoiser::uses_corrector) {
      const hosts::CorrectorLines lines{denoiser.model().corrector_head().weights()};
      const cuda::HeadTables tables = lines.tables();
      return loop_on_device(loop, looks, limits, &tables, out_graphs);
    }
#endif
    static_cast<void>(denoiser);
    return loop_on_device(loop, looks, limits, nullptr, out_graphs);
  }
};

/// Whole batches of pictures without the host, by replays and by a WHILE node.
void check_loops(Report& report) {
  const bool most_looks = loops_on_device();
  if (!most_looks) std::printf("left out: the driver has no WHILE nodes\n");
  int shrunk = 0;  // batches whose highest place was free before the others
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    LoopGraphs graphs;
    LoopOnDevice run{most_looks && seed % 2 == 0, device_plan_limits(), graphs};
    DecodeCase c = decode_case({}, seed);
    report("a loop of coupled SJD",
           loop_difference(c, run, NoNoise{}, RowEndGrammar{3, 5}, 4, RawNoise{},
                           SpeculativeAcceptance{}, MaximalCoupling{}));
    shrunk += graphs.captures > 1 ? 1 : 0;
    report("a WHILE node", graphs.looks == run.looks ? "" : "the driver took none");
#if SJD_TEST_HEAD
    c.window += 3;
    report("a loop with a corrector head",
           loop_difference<HiddenHost>(c, run, NoNoise{}, RowEndGrammar{3, 5}, 4, RawNoise{},
                                       SpeculativeAcceptance{}, MaximalCoupling{},
                                       HeadCorrector{.depth = 4}));
    c.table.vocab = 96;  // three blocks, one more for the form of a cluster
    run.limits.shared_bytes = sizeof(cuda::detail::RedrawShared<cuda::HeadChange::Shared>) + 4 * 33;
    report("a loop with a corrector head in clusters",
           loop_difference<HiddenHost>(c, run, NoNoise{}, RowEndGrammar{3, 5}, 4, RawNoise{},
                                       SpeculativeAcceptance{}, MaximalCoupling{},
                                       HeadCorrector{.depth = 4}));
#endif
  }
  report("a batch that drains", shrunk > 0 ? "" : "no graph was captured anew");
  if (SJD_TEST_HEAD == 0) std::printf("left out: the corrector head needs nlohmann_json\n");
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
  // A part that throws is one failure: the others still say what they find.
  const auto part = [&report](const std::string& name, const auto& run) {
    try {
      run(report);
    } catch (const std::exception& error) {
      report(name, error.what());
    }
  };
  for (const std::int64_t vocab : {1, 2, 31, 512}) {
    part("rows", [vocab](Report& r) { check_rows(vocab, 12, r); });
  }
  for (const std::int64_t vocab : {8192, 32768, 184622}) {
    if (!small) part("rows", [vocab](Report& r) { check_rows(vocab, 24, r); });
  }
  part("decodes", check_decodes);
  part("loops", check_loops);
  part("statistics", check_statistics);
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
