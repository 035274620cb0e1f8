// SPDX-License-Identifier: Apache-2.0
// A fixed amount of work on the row path, for check.sh to count instructions of:
//   callgrind SET CASE TIMES
// prints how many elements one time is.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "sjd/core/random.hpp"
#include "sjd/cpu/residual.hpp"
#include "sjd/cpu/rows.hpp"
#include "support/table_law.hpp"

namespace sjd::test {
namespace {

constexpr std::int64_t vocab = 16384;
constexpr std::int64_t rows = 4;

/// Logits [2, rows, vocab] of two branches, about a bell.
std::vector<float> logits() {
  std::vector<float> values(static_cast<std::size_t>(2 * rows * vocab));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint64_t bits = mix(i);
    float sum = 0.0F;
    for (int part = 0; part < 4; ++part, bits >>= 16U) {
      sum += static_cast<float>(bits & 0xFFFFU) / 65536.0F - 0.5F;
    }
    values[i] = 1.2F * sum;
  }
  return values;
}

std::int64_t run_rows(const cpu::KernelTable& kernel, const SamplingOptions& options, int times) {
  const std::vector<float> values = logits();
  cpu::RowPipeline pipeline{kernel};
  TokenLaw law;
  const std::array<float, 1> scales{3.0F};
  const PhiloxGate gate{1, 2};
  std::int64_t sum = 0;
  for (int t = 0; t < times; ++t) {
    const std::int64_t r = t % rows;
    pipeline.law(MatrixView<const float>{values.data() + r * vocab, 2, vocab, rows * vocab}, scales,
                 NoGrammar{}, options, 0, r, law);
    sum += gate.categorical({r, 1, Purpose::refresh}, law);
  }
  return sum;
}

std::int64_t run_residual(const cpu::KernelTable& kernel, int times) {
  const std::vector<float> values = logits();
  cpu::LawBuilder builder{kernel};
  TokenLaw target, draft;
  builder.build({values.data(), vocab}, {.top_k = 2000}, target);
  builder.build({values.data() + vocab, vocab}, {.top_k = 2000}, draft);
  std::int64_t sum = 0;
  for (int t = 0; t < times; ++t) {
    sum += cpu::draw_surplus(
        target, draft, [t](uint128 total) { return total / 16 * static_cast<unsigned>(t % 16); },
        kernel);
  }
  return sum;
}

std::int64_t run_denoise(const cpu::KernelTable& kernel, int times) {
  const std::vector<float> clean = logits();
  std::vector<float> z(static_cast<std::size_t>(vocab), 1.0F);
  for (int t = 0; t < times; ++t) kernel.denoise(0.5F, 0.5F, clean.data(), z.data(), vocab);
  return static_cast<std::int64_t>(z[7]);
}

int run(const std::string& set, const std::string& name, int times) {
  const auto which = set == "avx2" ? lanes::InstructionSet::avx2 : lanes::InstructionSet::scalar;
  if (!cpu::supported(which)) return 77;
  const cpu::KernelTable& kernel = cpu::kernels(which);
  std::int64_t sum = 0, elements = vocab;
  if (name == "top-k") sum = run_rows(kernel, {.top_k = 2000}, times);
  if (name == "top-p") sum = run_rows(kernel, {.top_p = 0.9F}, times);
  if (name == "no-filter") sum = run_rows(kernel, {}, times);
  if (name == "residual") sum = run_residual(kernel, times), elements = 2000;
  if (name == "denoise") sum = run_denoise(kernel, times);
  std::printf("%lld %lld\n", static_cast<long long>(elements), static_cast<long long>(sum));
  return 0;
}

}  // namespace
}  // namespace sjd::test

int main(int argc, char** argv) {
  if (argc != 4) return 64;
  return sjd::test::run(argv[1], argv[2], std::atoi(argv[3]));
}
