// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <cstring>
#include <numeric>
#include <sjd/core/random.hpp>
#include <sjd/cpu/law_builder.hpp>
#include <sjd/cpu/window_update.hpp>

#include "sections.hpp"

namespace sjd::bench {
namespace {

constexpr int sequences = 16;
constexpr std::int64_t drafts = 15;

/// One sequence whose window is to be verified: drafts from laws a little off the target laws.
struct Case {
  DecoderState state;
  std::vector<TokenLaw> laws;  // [drafts + 1]
};

Case case_of(std::int64_t vocab, std::int64_t top_k, std::uint64_t seed) {
  const SamplingOptions options{.top_k = top_k};
  std::vector<float> target = random_logits("bell", seed, drafts + 1, vocab);
  const std::vector<float> change = random_logits("bell", seed + 1, drafts + 1, vocab);
  Case result;
  result.state.total = 1000;
  result.state.tokens = {0};
  result.laws.resize(drafts + 1);
  cpu::LawBuilder builder;
  for (std::int64_t j = 0; j <= drafts; ++j) {
    std::vector<float> row(target.begin() + j * vocab, target.begin() + (j + 1) * vocab);
    for (float& logit : row) logit *= 3.5F;
    builder.build(row, options, result.laws[static_cast<std::size_t>(j)]);
    if (j == drafts) break;
    for (std::int64_t v = 0; v < vocab; ++v) {
      row[static_cast<std::size_t>(v)] += 0.5F * change[static_cast<std::size_t>(j * vocab + v)];
    }
    Slot slot;
    builder.build(row, options, slot.law);
    slot.token = PhiloxGate{seed, 5}.categorical({j, 1, Purpose::entry}, slot.law);
    result.state.window.push_back(std::move(slot));
  }
  return result;
}

void measure_verification(Report& report, std::int64_t vocab, std::int64_t top_k, double seconds) {
  std::vector<Case> cases;
  for (int s = 0; s < sequences; ++s) {
    cases.push_back(case_of(vocab, top_k, 10 + 2 * static_cast<std::uint64_t>(s)));
  }
  std::int64_t calls = 0, judged = 0, recovered = 0;
  std::int64_t iteration = 0;
  constexpr int turns = 8;
  const auto work = [&] {
    for (int turn = 0; turn < turns; ++turn) {
      ++iteration;
      for (std::size_t s = 0; s < cases.size(); ++s) {
        const PhiloxGate gate{s, 7};
        const cpu::Verdict verdict =
            cpu::verify(SpeculativeAcceptance{}, gate, cases[s].state, iteration, cases[s].laws);
        calls += 1;
        judged += verdict.judged;
        recovered += verdict.recovered ? 1 : 0;
      }
    }
  };
  const Samples samples =
      interleave({{"", work, static_cast<double>(sequences * turns)}}, seconds)[0];
  const double share = static_cast<double>(recovered) / static_cast<double>(calls);
  const double mean = static_cast<double>(judged) / static_cast<double>(calls);
  const std::string kept = top_k > 0 ? fmt::format("top-k {}", top_k) : "no filter";
  report.add(fmt::format("V={:<6} {}: {:.1f} judged, {:.0f} % residuals", vocab, kept, mean,
                         100.0 * share),
             "us/sequence", samples, 1e6,
             top_k > 0 ? at_most(1.0 + 1e-4 * static_cast<double>(vocab)) : Target{});
}

/// `rows` noisy slots of `dim` numbers move one level; against a copy of as many bytes that lie in
/// as much memory.
void measure_update(Report& report, std::int64_t rows, std::int64_t dim, double seconds) {
  const auto count = static_cast<std::size_t>(rows * dim);
  std::vector<float> table(count, 0.5F);
  std::vector<std::vector<float>> noisy(static_cast<std::size_t>(rows),
                                        std::vector<float>(static_cast<std::size_t>(dim), 1.0F));
  std::vector<float> source(count, 1.0F), target(count);
  const auto update = [&] {
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t token = r * 37 % rows;
      cpu::denoise({.alpha = 0.6F, .sigma = 0.8F}, {.alpha = 0.8F, .sigma = 0.6F},
                   {table.data() + token * dim, static_cast<std::size_t>(dim)},
                   noisy[static_cast<std::size_t>(r)]);
    }
  };
  const auto copy = [&] {
    std::memcpy(target.data(), source.data(), count * sizeof(float));
    keep(target[0]);
  };
  const auto repeat = [](auto body) {
    return [body] {
      for (int i = 0; i < 16; ++i) body();
    };
  };
  const double bytes = 16.0 * 4.0 * static_cast<double>(count);
  const std::vector<Samples> samples =
      interleave({{"", repeat(update), 3.0 * bytes}, {"", repeat(copy), 2.0 * bytes}}, seconds);
  const auto rate = [](Samples each) {
    for (double& sample : each) sample = 1e-9 / sample;
    return each;
  };
  const double size = 8.0 * static_cast<double>(count) / 1048576.0;
  const bool fits = size <= 1.5;
  report.add(fmt::format("{} slots, D={}: window update, {:.2f} MiB", rows, dim, size), "GB/s",
             rate(samples[0]));
  report.add(fmt::format("{} slots, D={}: copy in {:.2f} MiB", rows, dim, size), "GB/s",
             rate(samples[1]));
  report.add(fmt::format("{} slots, D={}: rate over that of the copy", rows, dim), "x",
             ratios(samples[1], samples[0]), 1.0, fits ? at_least(0.8) : Target{});
}

}  // namespace

void measure_verify(Report& report, double seconds) {
  report.section(
      "C2 verification",
      fmt::format("{} drafts a sequence, one thread; judging and the residual behind the "
                  "first rejection",
                  drafts));
  for (const std::int64_t vocab : {8192, 16384, 32768, 65536}) {
    measure_verification(report, vocab, 2000, seconds / 2);
  }
  measure_verification(report, 65536, 0, seconds / 2);
  report.section("C2 window update", "one denoising step of every slot towards its token's row");
  for (const std::int64_t dim : {512, 1024, 2048}) measure_update(report, 96, dim, seconds / 4);
  report.note("targets hold where both fit the second-level cache");
}

}  // namespace sjd::bench
