// SPDX-License-Identifier: Apache-2.0
// Top-k and top-p keep exactly what a stable sort would keep, in every instruction set.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "sjd/cpu/law_builder.hpp"
#include "sjd/cpu/rows.hpp"
#include "support/catch.hpp"
#include "support/guarded_row.hpp"
#include "support/table_law.hpp"

namespace sjd::test {
namespace {

using cpu::KernelTable;
using lanes::InstructionSet;

constexpr float infinity = std::numeric_limits<float>::infinity();

/// The integer law of the filters, by sorting everything.
TokenLaw sorted_law(const std::vector<float>& logits, const SamplingOptions& options) {
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit = [&](TokenId v) { return logits[static_cast<std::size_t>(v)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](TokenId a, TokenId b) { return logit(a) > logit(b); });
  const float top = logit(order.front());
  const auto mass = [&](TokenId v) {
    return mass_of((logit(v) - top) * (1.0F / options.temperature));
  };
  if (options.top_k > 0 && options.top_k < static_cast<std::int64_t>(order.size())) {
    order.resize(static_cast<std::size_t>(options.top_k));
  }
  std::erase_if(order, [&](TokenId v) { return mass(v) == 0; });
  std::uint64_t total = 0, reached = 0;
  for (const TokenId v : order) total += mass(v);
  std::size_t kept = 0;
  while (kept < order.size() &&
         (kept == 0 || options.top_p == 1.0F ||
          static_cast<double>(reached) < double{options.top_p} * static_cast<double>(total))) {
    reached += mass(order[kept++]);
  }
  order.resize(kept);
  std::sort(order.begin(), order.end());
  std::vector<std::uint32_t> masses;
  for (const TokenId v : order) masses.push_back(mass(v));
  TokenLaw law;
  law.set_list(order, masses);
  return law;
}

/// Uniform in [0, 1).
float unit(std::uint64_t seed, std::size_t i) {
  return static_cast<float>(mix(seed ^ mix(i)) >> 40) / 16777216.0F;
}

/// Rows of all kinds that a filter may meet.
std::vector<float> row_of(int kind, std::uint64_t seed, std::size_t size) {
  std::vector<float> logits(size);
  for (std::size_t i = 0; i < size; ++i) {
    const float x = unit(seed, i), y = unit(seed + 1000, i);
    switch (kind) {
      case 0:  // a bell
        logits[i] = 4.0F * (x + y + unit(seed + 2000, i)) - 6.0F;
        break;
      case 1:  // ties
        logits[i] = std::floor(7.0F * x);
        break;
      case 2:  // flat
        logits[i] = 1.0F;
        break;
      case 3:  // one peak
        logits[i] = i == size / 3 ? 40.0F : x;
        break;
      case 4:  // mostly masked
        logits[i] = y < 0.9F && i > 0 ? -infinity : x;
        break;
      case 5:  // every power of two down to the smallest numbers, both signs, both zeros
        logits[i] = std::ldexp(y < 0.5F ? -1.0F : 1.0F, -static_cast<int>(160.0F * x)) * (0.5F + x);
        break;
      case 6:  // sorted by id, in clumps
        logits[i] = static_cast<float>(i / 50) * 1.0e-3F + (x < 0.5F ? 1.0e-6F : 0.0F);
        break;
      case 7:  // a bell in steps, as narrow logits are: few ties at a time
        logits[i] = std::round(128.0F * (x + y + unit(seed + 2000, i))) / 32.0F;
        break;
      default:  // what a sample of the row may never see
        logits[i] = i % 97 == 5 ? 20.0F + x : -1.0e30F * y;
    }
  }
  return logits;
}

std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> all;
  for (const auto set : {InstructionSet::scalar, InstructionSet::avx2, InstructionSet::avx512}) {
    if (cpu::supported(set)) all.push_back(&cpu::kernels(set));
  }
  return all;
}

/// The guided sweep, alone and beside a second branch, gives the law or declines.
int check_guided(const KernelTable& table, const std::vector<float>& logits,
                 const SamplingOptions& options, const TokenLaw& expected) {
  cpu::LawBuilder builder{table};
  TokenLaw law;
  const std::span<const float> row{logits};
  const bool told = builder.build_guided(row, row, 0.0F, options, law);
  if (told) REQUIRE(law == expected);
  std::vector<float> last(logits.size()), guided(logits.size());
  for (std::size_t i = 0; i < last.size(); ++i) last[i] = unit(77, i);
  table.fp32.guide(logits.data(), last.data(), 1.5F, nullptr, guided.data(), std::ssize(logits));
  if (!builder.build_guided<float>(row, last, 1.5F, options, law)) return told ? 1 : 0;
  REQUIRE(law == sorted_law(guided, options));
  return told ? 2 : 1;
}

int guided_laws = 0;  // that the one sweep could tell

void check(const std::vector<float>& logits, const SamplingOptions& options) {
  const TokenLaw expected = sorted_law(logits, options);
  for (const KernelTable* table : tables()) {
    cpu::LawBuilder builder{*table};
    TokenLaw law;
    builder.build(logits, options, law);
    REQUIRE(law == expected);
    guided_laws += check_guided(*table, logits, options, expected);
  }
}

constexpr int kinds = 9;

}  // namespace

TEST_CASE("top-k and top-p keep what a stable sort keeps, on rows of every kind") {
  for (int kind = 0; kind < kinds; ++kind) {
    for (const std::size_t size : {1U, 2U, 15U, 17U, 100U, 1000U, 2048U, 3001U, 8192U}) {
      const std::vector<float> logits = row_of(kind, size, size);
      for (const double share : {0.0, 0.001, 0.03, 0.25, 0.9, 0.999}) {
        const auto k = static_cast<std::int64_t>(std::ceil(share * static_cast<double>(size)));
        for (const float p : {1.0F, 0.95F, 0.3F, 1.0e-6F}) {
          CAPTURE(kind, size, k, p);
          check(logits, {.temperature = size % 2 == 0 ? 1.0F : 0.8F, .top_k = k, .top_p = p});
        }
      }
    }
  }
}

TEST_CASE("every k of a small row, every kind") {
  for (int kind = 0; kind < kinds; ++kind) {
    for (const std::size_t size : {33U, 64U}) {
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        const std::vector<float> logits = row_of(kind, seed, size);
        for (std::int64_t k = 1; k <= static_cast<std::int64_t>(size); ++k) {
          CAPTURE(kind, size, seed, k);
          check(logits, {.top_k = k});
        }
      }
    }
  }
}

TEST_CASE("a row whose sample lies is cut all the same") {
  // The first 16 logits in 256 are a sample of the row: here they are among the large ones.
  for (const std::size_t large : {16U, 40U, 86U}) {
    std::vector<float> logits = row_of(0, large, 8192);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (i % 256 < large) logits[i] += 20.0F;
    }
    for (std::int64_t k = 1; k < 3000; k += 61) {
      CAPTURE(large, k);
      check(logits, {.top_k = k});
    }
  }
}

TEST_CASE("the guided sweep builds most laws of long rows") {
  guided_laws = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    check(row_of(0, seed, 4096), {.temperature = 0.9F, .top_k = 300});
    check(row_of(7, seed, 4096), {.temperature = 0.9F, .top_k = 300});
  }
  CHECK(guided_laws == 80 * static_cast<int>(tables().size()));
}

TEST_CASE("without temperature the guided sweep leaves a row alone") {
  cpu::LawBuilder builder;
  TokenLaw law;
  const std::vector<float> logits = row_of(1, 3, 4096);
  const SamplingOptions greedy{.temperature = 0.0F, .top_k = 300};
  CHECK_FALSE(builder.build_guided<float>(logits, logits, 0.0F, greedy, law));
}

TEST_CASE("a long row has the law of its guided logits, whatever the number of branches") {
  constexpr std::size_t vocab = 4096;
  const SamplingOptions options{.top_k = 300};
  for (std::size_t branches = 1; branches <= 3; ++branches) {
    std::vector<float> logits;
    for (std::size_t b = 0; b < branches; ++b) {
      const std::vector<float> row = row_of(0, 11 + b, vocab);
      logits.insert(logits.end(), row.begin(), row.end());
    }
    const MatrixView<const float> rows{logits.data(), std::ssize(logits) / 4096, 4096};
    const std::vector<float> scales(branches - 1, 2.5F);
    std::vector<float> guided(vocab);
    cpu::guide(rows, scales, guided);
    cpu::RowPipeline pipeline;
    TokenLaw law;
    pipeline.law(rows, scales, NoGrammar{}, options, 0, 0, law);
    CAPTURE(branches);
    CHECK(law == sorted_law(guided, options));
  }
}

TEST_CASE("no read leaves the row, wherever its memory begins and ends") {
  constexpr std::size_t vocab = 4096;
  const std::vector<float> logits = row_of(0, 5, vocab);
  const SamplingOptions options{.top_k = 200};
  const TokenLaw expected = sorted_law(logits, options);
  const GuardedRow room{4 * vocab};
  for (const KernelTable* table : tables()) {
    for (std::size_t shift = 0; shift < 17; ++shift) {
      for (float* const row : {room.begin() + shift, room.end() - vocab - shift}) {
        std::copy(logits.begin(), logits.end(), row);
        cpu::LawBuilder builder{*table};
        TokenLaw law, guided;
        builder.build({row, vocab}, options, law);
        CHECK(law == expected);
        CHECK(builder.build_guided<float>({row, vocab}, {row, vocab}, 0.0F, options, guided));
        CHECK(guided == expected);
      }
    }
  }
}

TEST_CASE("a builder that has seen other rows builds the same laws") {
  cpu::LawBuilder used;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const auto kind = static_cast<int>(seed % kinds);
    const std::vector<float> logits = row_of(kind, seed, 50 + 333 * (seed % 11));
    const SamplingOptions options{.top_k = static_cast<std::int64_t>(1 + seed * 7 % 600),
                                  .top_p = seed % 2 == 0 ? 1.0F : 0.7F};
    TokenLaw law;
    used.build(logits, options, law);
    CAPTURE(seed);
    REQUIRE(law == sorted_law(logits, options));
  }
}

TEST_CASE("the threshold of a list is that of its sorted values") {
  for (const KernelTable* table : tables()) {
    cpu::ThresholdSearch search{*table};
    for (int kind = 0; kind < kinds; ++kind) {
      for (const std::size_t size : {1U, 16U, 17U, 250U, 4000U}) {
        std::vector<float> values = row_of(kind, size + 5, size);
        const cpu::WeighedList list{values.data(), nullptr, static_cast<std::int64_t>(size)};
        std::vector<float> sorted = values;
        std::sort(sorted.begin(), sorted.end(), std::greater<>{});
        for (std::size_t k = 1; k <= size; k += 1 + size / 9) {
          const cpu::Pivots wrong[] = {{1.0e30F, 1.0e30F, 2.0e30F},
                                       {-infinity, -1.0e35F, -1.0e35F}};
          CAPTURE(kind, size, k);
          const auto target = static_cast<double>(k);
          REQUIRE(search.find(list, target, size) == sorted[k - 1]);
          for (const cpu::Pivots& first : wrong) {
            REQUIRE(search.find(list, target, size, &first) == sorted[k - 1]);
          }
          for (const float high : {sorted[size / 2], sorted[0], 1.0e30F, sorted[size - 1]}) {
            const float low = sorted[size - 1];
            REQUIRE(search.find_above(list, target, {low, high, high}) == sorted[k - 1]);
          }
        }
      }
    }
  }
}

/// How many values of a list lie from `floor` up.
double reached(const std::vector<float>& values, float floor) {
  return static_cast<double>(
      std::count_if(values.begin(), values.end(), [&](float x) { return x >= floor; }));
}

TEST_CASE("pivots near two ranks have about as many values above them, or exactly") {
  constexpr double slack = 4.0;
  int counted = 0;
  for (const KernelTable* table : tables()) {
    cpu::ThresholdSearch search{*table};
    for (int kind = 0; kind < kinds; ++kind) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const std::vector<float> values = row_of(kind, seed, 512);
        std::vector<float> sorted = values;
        std::sort(sorted.begin(), sorted.end(), std::greater<>{});
        for (const std::size_t high : {1U, 9U, 100U, 300U}) {
          const std::size_t low = high + 40;
          const cpu::Pivots found =
              search.near({values.data(), nullptr, 512}, static_cast<double>(low),
                          static_cast<double>(high), slack);
          CAPTURE(kind, seed, high, found[0], found[2]);
          const bool close =
              std::fabs(reached(values, found[0]) - static_cast<double>(low)) <= slack &&
              std::fabs(reached(values, found[2]) - static_cast<double>(high)) <= slack;
          REQUIRE((close || (found[0] == sorted[low - 1] && found[2] == sorted[high - 1])));
          if (found[0] > -infinity) REQUIRE((found[0] <= found[1] && found[1] <= found[2]));
          counted += kind == 0 && found[0] != sorted[low - 1] ? 1 : 0;
        }
      }
    }
  }
  CHECK(counted > 60 * static_cast<int>(tables().size()));  // of 80: a bell is met by counting
}

}  // namespace sjd::test
