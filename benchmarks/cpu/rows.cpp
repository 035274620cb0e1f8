// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <array>
#include <bit>
#include <concepts>
#include <random>
#include <sjd/core/random.hpp>
#include <sjd/cpu/rows.hpp>

#include "peers.hpp"
#include "sections.hpp"

namespace sjd::bench {
namespace {

constexpr std::int64_t rows = 64;
constexpr std::int64_t top_k = 2000;
constexpr float scale = 3.0F;

/// Logits of two branches as a host stores them.
template <class T>
struct Logits {
  std::int64_t vocab = 0;
  std::vector<T> values;  // [2, rows, vocab]

  [[nodiscard]] MatrixView<const T> row(std::int64_t r) const {
    return {values.data() + r * vocab, 2, vocab, rows * vocab};
  }
};

std::uint16_t upper_half(float x) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16U);
}

/// A half number near x, |x| < 2^15; what is below 2^-14 becomes 0.
std::uint16_t half_bits(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  const std::uint32_t sign = bits >> 16U & 0x8000U;
  return static_cast<std::uint16_t>(
      magnitude < 0x38800000U ? sign : sign | (magnitude - 0x38000000U) >> 13U);
}

template <class T>
Logits<T> narrowed(const Logits<float>& wide) {
  Logits<T> result{wide.vocab, {}};
  result.values.reserve(wide.values.size());
  for (const float x : wide.values) {
    result.values.push_back({std::same_as<T, Bfloat16> ? upper_half(x) : half_bits(x)});
  }
  return result;
}

/// All rows through the library: guidance, top-k, masses, compact law, draw.
template <class T>
Contender library(const std::string& name, const Logits<T>& logits,
                  const SamplingOptions& options) {
  return {name,
          [&logits, options, pipeline = cpu::RowPipeline{}, laws = std::vector<TokenLaw>(rows),
           iteration = std::int64_t{0}]() mutable {
            const PhiloxGate gate{1, 2};
            const std::array<float, 1> scales{scale};
            ++iteration;
            for (std::int64_t r = 0; r < rows; ++r) {
              TokenLaw& law = laws[static_cast<std::size_t>(r)];
              pipeline.law(logits.row(r), scales, NoGrammar{}, options, 0, r, law);
              keep(gate.categorical({r, iteration, Purpose::refresh}, law));
            }
          },
          static_cast<double>(rows * logits.vocab)};
}

/// A few rows through a sampler of this folder.
template <class Sampler>
Contender peer(const std::string& name, const Logits<float>& logits) {
  constexpr std::int64_t few = 4;
  return {name,
          [&logits, sampler = Sampler{}]() mutable {
            for (std::int64_t r = 0; r < few; ++r) {
              const MatrixView<const float> row = logits.row(r);
              keep(sampler.sample({row.row(0), row.row(1), scale, 1.0F, top_k}));
            }
          },
          static_cast<double>(few * logits.vocab)};
}

/// Reads the logits of both branches and nothing else: the floor of every sampler.
Contender reader(const Logits<float>& logits) {
  return {"",
          [&logits] {
            std::array<float, 64> sums{};
            for (std::size_t i = 0; i < logits.values.size(); i += sums.size()) {
              for (std::size_t j = 0; j < sums.size(); ++j) sums[j] += logits.values[i + j];
            }
            keep(sums);
          },
          static_cast<double>(rows * logits.vocab)};
}

void measure_vocabulary(Report& report, std::int64_t vocab, double seconds) {
  Logits<float> wide{vocab, random_logits("bell", 1, 2 * rows, vocab)};
  const auto bf16 = narrowed<Bfloat16>(wide);
  const auto fp16 = narrowed<Float16>(wide);
  const SamplingOptions options{.top_k = top_k};
  std::vector<Contender> contenders{library("fp32", wide, options),
                                    library("bf16", bf16, options),
                                    library("fp16", fp16, options),
                                    library("no filter", wide, {}),
                                    reader(wide),
                                    peer<ChainSampler>("sampler chain", wide)};
  if (EigenSampler::available()) contenders.push_back(peer<EigenSampler>("Eigen", wide));
  const std::vector<Samples> samples = interleave(contenders, seconds);
  const auto name = [&](const char* what) { return fmt::format("V={:<6} {}", vocab, what); };
  constexpr double nano = 1e9;
  report.add(name("fp32 logits"), "ns/element", samples[0], nano, at_most(0.5));
  report.add(name("bf16 logits"), "ns/element", samples[1], nano, at_most(0.5));
  report.add(name("half logits"), "ns/element", samples[2], nano, at_most(0.5));
  report.add(name("fp32 logits, no filter"), "ns/element", samples[3], nano);
  report.add(name("reading the fp32 logits alone"), "ns/element", samples[4], nano);
  report.add(name("over a sampler chain"), "x", ratios(samples[5], samples[0]), 1.0,
             at_least(vocab < 65536 ? 15.0 : 5.0));
  if (EigenSampler::available()) {
    report.add(name("over Eigen and nth_element"), "x", ratios(samples[6], samples[0]), 1.0,
               at_least(30.0));
  }
}

}  // namespace

std::vector<float> random_logits(const std::string& kind, std::uint64_t seed, std::int64_t count,
                                 std::int64_t vocab) {
  std::mt19937_64 random{seed};
  const float spread = kind == "flat" ? 0.0F : 0.7F;
  std::normal_distribution<float> normal;
  std::vector<float> logits(static_cast<std::size_t>(count * vocab));
  for (float& logit : logits) logit = spread * normal(random);
  if (kind == "peaked") {
    for (std::size_t i = 0; i < logits.size(); i += 997) logits[i] += 12.0F;
  }
  return logits;
}

void measure_rows(Report& report, double seconds) {
  report.section("C1 rows", fmt::format("{} rows on one thread: guidance of two branches, "
                                        "top-k {}, masses, compact law, draw",
                                        rows, top_k));
  if (!EigenSampler::available()) report.note("Eigen is not installed (Debian: libeigen3-dev)");
  for (const std::int64_t vocab : {8192, 16384, 32768, 65536}) {
    measure_vocabulary(report, vocab, seconds);
  }
  constexpr std::int64_t vocab = 16384;
  for (const char* kind : {"peaked", "flat"}) {
    const Logits<float> logits{vocab, random_logits(kind, 2, 2 * rows, vocab)};
    const Contender contender = library(kind, logits, {.top_k = top_k});
    report.add(fmt::format("V={:<6} {} rows", vocab, kind), "ns/element",
               interleave({contender}, seconds / 4)[0], 1e9, at_most(0.5));
  }
  const Logits<float> logits{vocab, random_logits("bell", 3, 2 * rows, vocab)};
  const Contender contender = library("", logits, {.top_p = 0.9F});
  report.add(fmt::format("V={:<6} top-p 0.9 instead of top-k", vocab), "ns/element",
             interleave({contender}, seconds / 4)[0], 1e9);
}

}  // namespace sjd::bench
