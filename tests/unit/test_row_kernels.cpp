// SPDX-License-Identifier: Apache-2.0
// The loops over a vocabulary give the bits of the plain functions in every instruction set.
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "sjd/core/philox.hpp"
#include "sjd/cpu/kernels.hpp"
#include "sjd/cpu/packed_matrix.hpp"
#include "support/catch.hpp"
#include "support/table_law.hpp"

namespace sjd::test {
namespace {

using cpu::KernelTable;
using lanes::InstructionSet;

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> all;
  for (const auto set : {InstructionSet::scalar, InstructionSet::avx2, InstructionSet::avx512}) {
    if (cpu::supported(set)) all.push_back(&cpu::kernels(set));
  }
  return all;
}

/// Logits of all kinds: a wide spread, ties, masked ones, the edge of what has a mass.
std::vector<float> random_logits(std::uint64_t seed, std::int64_t size) {
  std::vector<float> logits(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const std::uint64_t bits = mix(seed ^ mix(i));
    const float x = static_cast<float>(bits >> 40) / 16777216.0F;
    const float kinds[] = {8.0F * x,    std::floor(6.0F * x), -infinity,
                           -150.0F * x, -22.0F - x,           -0.0F};
    logits[i] = kinds[bits % 6];
  }
  return logits;
}

constexpr std::int64_t sizes[] = {1, 2, 15, 16, 17, 31, 48, 63, 64, 100, 512, 1000};

std::uint32_t bits(float x) {
  return std::bit_cast<std::uint32_t>(x);
}

}  // namespace

TEST_CASE("masses are mass_of of every logit, packed, in every instruction set") {
  for (const KernelTable* table : tables()) {
    for (const std::int64_t size : sizes) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const std::vector<float> logits = random_logits(seed, size);
        float top = 0.0F;
        REQUIRE(table->largest(logits.data(), size, &top));
        REQUIRE(top == *std::max_element(logits.begin(), logits.end()));
        if (top == -infinity) continue;
        const cpu::MassRow row{logits.data(),
                               nullptr,
                               size,
                               top,
                               seed % 2 == 0 ? 1.0F : 1.37F,
                               seed % 3 == 0 ? 2.0F : -infinity};
        std::vector<TokenId> ids(static_cast<std::size_t>(size) + 16);
        std::vector<std::uint32_t> kept(ids.size());
        const cpu::MassTotal all = table->masses(row, ids.data(), kept.data());
        std::size_t at = 0;
        std::uint64_t sum = 0;
        for (std::size_t v = 0; v < logits.size(); ++v) {
          const float l = logits[v];
          const std::uint32_t mass = mass_of((l - top) * row.inverse_temperature);
          if (l < row.floor || mass == 0) continue;
          CAPTURE(size, seed, v);
          REQUIRE(ids[at] == static_cast<TokenId>(v));
          REQUIRE(kept[at] == mass);
          sum += mass;
          ++at;
        }
        REQUIRE(all.size == static_cast<std::int64_t>(at));
        REQUIRE(all.sum == sum);
      }
    }
  }
}

TEST_CASE("a NaN or +Inf anywhere is found in every instruction set") {
  for (const KernelTable* table : tables()) {
    for (const std::int64_t size : sizes) {
      for (std::int64_t at = 0; at < size; at += 1 + size / 40) {
        for (const float bad : {infinity, std::numeric_limits<float>::quiet_NaN()}) {
          std::vector<float> logits = random_logits(7, size);
          logits[static_cast<std::size_t>(at)] = bad;
          float top = 0.0F;
          CAPTURE(size, at, bad);
          REQUIRE_FALSE(table->largest(logits.data(), size, &top));
        }
      }
    }
  }
}

namespace {

/// The nearest bf16 number towards zero, or the half number of the same 16 bits.
template <class T>
std::vector<T> narrow(const std::vector<float>& wide) {
  std::vector<T> result;
  for (const float x : wide) {
    if constexpr (std::is_same_v<T, float>) {
      result.push_back(x);
    } else {
      result.push_back({static_cast<std::uint16_t>(bits(x) >> 16U)});
    }
  }
  return result;
}

template <class T>
void check_guidance(const cpu::LogitKernels<T>& kernel, std::int64_t size) {
  std::vector<float> wide = random_logits(1, size), wide_last = random_logits(2, size);
  const std::vector<float> start = random_logits(3, size);
  for (std::size_t v = 0; v < wide.size(); v += 7) wide[v] = wide_last[v];
  for (std::size_t v = 3; v < wide.size(); v += 11) wide[v] = infinity;
  const std::vector<T> row = narrow<T>(wide), last = narrow<T>(wide_last);
  for (const float scale : {3.0F, 0.37F, -2.0F}) {
    std::vector<float> first = start, next = start;
    kernel.guide(row.data(), last.data(), scale, nullptr, first.data(), size);
    kernel.guide(row.data(), last.data(), scale, next.data(), next.data(), size);
    for (std::size_t v = 0; v < row.size(); ++v) {
      const float l = widened(row[v]), u = widened(last[v]);
      CAPTURE(size, v, scale);
      for (const auto& [found, before] : {std::pair{first[v], u}, {next[v], start[v]}}) {
        const float expected = guided_logit(l, u, scale, before);
        REQUIRE((bits(found) == bits(expected) || (std::isnan(found) && std::isnan(expected))));
      }
    }
  }
}

/// Sixteen here and there against the whole row.
template <class T>
void check_sample(const cpu::LogitKernels<T>& kernel, std::int64_t stride) {
  constexpr std::int64_t blocks = 5;
  const std::int64_t size = (blocks - 1) * stride + 16;
  std::vector<float> wide = random_logits(6, size);
  for (std::size_t v = 3; v < wide.size(); v += 11) wide[v] = infinity;
  const std::vector<T> row = narrow<T>(wide), last = narrow<T>(random_logits(7, size));
  std::vector<float> guided(wide.size()), sample(16 * blocks);
  kernel.guide(row.data(), last.data(), 3.0F, nullptr, guided.data(), size);
  kernel.guide_sample({row.data(), last.data(), 3.0F, size, 0.0F}, stride, blocks, sample.data());
  for (std::size_t i = 0; i < sample.size(); ++i) {
    const float expected = guided[i / 16 * static_cast<std::size_t>(stride) + i % 16];
    CAPTURE(stride, i);
    REQUIRE((bits(sample[i]) == bits(expected) || (std::isnan(sample[i]) && std::isnan(expected))));
  }
}

/// One sweep that guides and packs against two that do.
template <class T>
void check_guided_list(const KernelTable& table, std::int64_t size, std::int64_t odd_at) {
  const auto& kernel = table.of<T>();
  std::vector<float> wide = random_logits(4, size), wide_last = random_logits(5, size);
  for (std::size_t v = 0; v < wide.size(); ++v) {
    if (wide[v] == -infinity) wide[v] = 1.0F;
    if (wide_last[v] == -infinity) wide_last[v] = wide[v];
  }
  const bool odd = odd_at >= 0 && odd_at < size;
  if (odd) (size % 2 == 0 ? wide : wide_last)[static_cast<std::size_t>(odd_at)] = -infinity;
  const std::vector<T> row = narrow<T>(wide), last = narrow<T>(wide_last);
  const auto room = static_cast<std::size_t>(size) + 16;
  std::vector<float> guided(room), packed(room), found(room);
  std::vector<TokenId> ids(room), found_ids(room);
  for (const float floor : {-infinity, 0.5F, 1.0e9F}) {
    kernel.guide(row.data(), last.data(), 1.7F, nullptr, guided.data(), size);
    const std::int64_t expected =
        table.pack_from(guided.data(), size, floor, ids.data(), packed.data());
    float top = 0.0F, best = 0.0F;
    REQUIRE(table.largest(guided.data(), size, &best) == (!odd || size % 2 == 0));
    const std::int64_t count = kernel.guide_from({row.data(), last.data(), 1.7F, size, floor},
                                                 found_ids.data(), found.data(), &top);
    CAPTURE(size, floor, odd_at);
    REQUIRE(count == (odd ? -1 : expected));
    if (odd) continue;
    REQUIRE(kernel.guide_from({row.data(), last.data(), infinity, size, floor}, found_ids.data(),
                              found.data(), &top) == -1);
    REQUIRE(kernel.guide_from({row.data(), last.data(), 1.7F, size, floor}, found_ids.data(),
                              found.data(), &top) == expected);
    REQUIRE(bits(top) == bits(best));
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      REQUIRE(found_ids[i] == ids[i]);
      REQUIRE(bits(found[i]) == bits(packed[i]));
    }
  }
}

/// Every one of the 2^16 numbers.
template <class T>
void check_widening(const cpu::LogitKernels<T>& kernel) {
  std::vector<T> all(65536 + 5);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
  std::vector<float> wide(all.size());
  kernel.widen(all.data(), wide.data(), static_cast<std::int64_t>(all.size()));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const float expected = widened(all[i]);
    CAPTURE(i);
    REQUIRE((bits(wide[i]) == bits(expected) || (std::isnan(wide[i]) && std::isnan(expected))));
  }
}

}  // namespace

TEST_CASE("guidance is guided_logit of every logit in every instruction set") {
  for (const KernelTable* table : tables()) {
    for (const std::int64_t size : sizes) {
      check_guidance(table->fp32, size);
      check_guidance(table->bf16, size);
      check_guidance(table->fp16, size);
    }
  }
}

TEST_CASE("a sample of a row is guided as the row is, in every instruction set") {
  for (const KernelTable* table : tables()) {
    for (const std::int64_t stride : {16, 17, 64, 256}) {
      check_sample(table->fp32, stride);
      check_sample(table->bf16, stride);
      check_sample(table->fp16, stride);
    }
  }
}

TEST_CASE("guided logits are packed as by two sweeps, and what is not finite is found") {
  for (const KernelTable* table : tables()) {
    for (const std::int64_t size : sizes) {
      for (const std::int64_t odd_at : {std::int64_t{-1}, std::int64_t{0}, size / 2, size - 1}) {
        check_guided_list<float>(*table, size, odd_at);
        check_guided_list<Bfloat16>(*table, size, odd_at);
      }
    }
  }
}

TEST_CASE("a race is won by the token that one-by-one division finds, in every instruction set") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const auto gap = static_cast<std::uint32_t>(seed % 3);  // none, a few, many
    std::vector<TokenId> tokens;
    std::vector<std::uint32_t> masses;
    for (TokenId token = static_cast<TokenId>(seed % 5); tokens.size() < 1 + 37 * (seed % 20);) {
      tokens.push_back(token);
      const std::uint64_t h = mix(seed ^ mix(static_cast<std::uint64_t>(token)));
      masses.push_back(1U + static_cast<std::uint32_t>(h >> 33U >> (h % 31)));
      token += gap == 0 ? 1 : 1 + static_cast<TokenId>(h % 100 < 30 * gap * gap ? h % 50 : 0);
    }
    const cpu::PhiloxStream stream{static_cast<std::uint32_t>(seed), 3, 9, {1, 2}};
    float best = infinity;
    std::int64_t winner = -1;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto token = static_cast<std::uint32_t>(tokens[i]);
      const auto words = philox4x32({stream.position, 3, token / 4, 9}, stream.key);
      const float time = exponential_variate(words[token % 4]) / static_cast<float>(masses[i]);
      if (time < best) winner = static_cast<std::int64_t>(i);
      best = std::min(best, time);
    }
    CAPTURE(seed, tokens.size());
    for (const KernelTable* table : tables()) {
      REQUIRE(table->race({tokens.data(), masses.data(), std::ssize(tokens), 0}, stream) == winner);
    }
  }
}

TEST_CASE("exponential variates of lanes are those of words, at every magnitude") {
  for (const KernelTable* table : tables()) {
    // Masses about as large as the variates: the last bits decide who is first.
    for (std::uint32_t position = 0; position < 3000; ++position) {
      const cpu::PhiloxStream stream{position, 0, 9, {7, 8}};
      std::array<TokenId, 16> tokens{};
      std::array<std::uint32_t, 16> masses{};
      float best = infinity;
      std::int64_t winner = -1;
      for (std::size_t i = 0; i < 16; ++i) {
        tokens[i] = static_cast<TokenId>(5 * i);
        const auto words =
            philox4x32({position, 0, static_cast<std::uint32_t>(5 * i / 4), 9}, stream.key);
        const float variate = exponential_variate(words[5 * i % 4]);
        masses[i] = 1U + static_cast<std::uint32_t>(variate * 1.0e6F);  // a close finish
        const float time = variate / static_cast<float>(masses[i]);
        if (time < best) winner = static_cast<std::int64_t>(i);
        best = std::min(best, time);
      }
      CAPTURE(position);
      REQUIRE(table->race({tokens.data(), masses.data(), 16, 0}, stream) == winner);
    }
  }
}

TEST_CASE("bf16 and half numbers are read exactly in every instruction set") {
  const auto half = [](std::uint16_t bits) { return widened(Float16{bits}); };
  CHECK(half(0x3C00) == 1.0F);
  CHECK(half(0xC248) == -3.140625F);
  CHECK(half(0x7BFF) == 65504.0F);
  CHECK(half(0x0001) == std::ldexp(1.0F, -24));
  CHECK(half(0x83FF) == -std::ldexp(1023.0F, -24));
  CHECK(half(0x0400) == std::ldexp(1.0F, -14));
  CHECK(half(0xFC00) == -infinity);
  CHECK(std::isnan(half(0x7E00)));
  CHECK(std::signbit(half(0x8000)));
  CHECK(widened(Bfloat16{0xC049}) == -3.140625F);
  for (const KernelTable* table : tables()) {
    check_widening(table->bf16);
    check_widening(table->fp16);
  }
}

TEST_CASE("normals are standard_normal of Philox words in every instruction set") {
  const cpu::PhiloxStream stream{7, 3, 5, {11, 13}};
  for (const KernelTable* table : tables()) {
    for (const std::int64_t size : {1, 3, 4, 63, 64, 65, 256, 1027, 40000}) {
      std::vector<float> values(static_cast<std::size_t>(size));
      table->normals(stream, values.data(), size);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const auto words = philox4x32({7, 3, static_cast<std::uint32_t>(i / 4), 5}, {11, 13});
        CAPTURE(size, i);
        REQUIRE(bits(values[i]) == bits(standard_normal(words[i % 4])));
      }
    }
  }
}

TEST_CASE("the posterior is a softmax, the same bits in every instruction set") {
  for (const std::int64_t size : {16, 64, 512}) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      std::vector<float> scores(static_cast<std::size_t>(size)), square = scores, prior = scores;
      for (std::size_t v = 0; v < scores.size(); ++v) {
        scores[v] = static_cast<float>(mix(seed ^ mix(v)) % 2000) / 50.0F - 20.0F;
        square[v] = static_cast<float>(mix(v) % 100) / 10.0F;
        prior[v] = v % 5 == 4 ? -infinity : -static_cast<float>(v % 17);
      }
      double total = 0.0;
      std::vector<double> expected(scores.size());
      for (std::size_t v = 0; v < scores.size(); ++v) {
        expected[v] = std::exp(0.75 * scores[v] - 0.5 * square[v] + double{prior[v]});
        total += expected[v];
      }
      std::vector<std::vector<float>> results;
      for (const KernelTable* table : tables()) {
        results.push_back(scores);
        table->posterior(results.back().data(), 0.75F, -0.5F, square.data(), prior.data(), size);
        for (std::size_t v = 0; v < scores.size(); ++v) {
          CAPTURE(size, seed, v);
          REQUIRE(double{results.back()[v]} == close_to(expected[v] / total).margin(1e-6));
          REQUIRE(bits(results.back()[v]) == bits(results.front()[v]));
        }
      }
    }
  }
}

TEST_CASE("a packed matrix multiplies by chains of fma, whatever the number of rows") {
  constexpr std::int64_t outputs = 45, inputs = 19;
  const std::vector<float> x = random_logits(4, 13 * inputs);
  const auto weight = [](std::int64_t output, std::int64_t input) {
    return static_cast<float>(mix(static_cast<std::uint64_t>(output * 100 + input)) % 64) / 32.0F;
  };
  std::vector<float> finite = x;
  for (float& value : finite) value = std::max(value, -9.0F);
  const cpu::PackedMatrix matrix{outputs, inputs, weight};
  REQUIRE(matrix.padded_outputs() == 64);
  for (std::int64_t rows = 1; rows <= 13; ++rows) {
    std::vector<float> y(static_cast<std::size_t>(rows * 64), 7.0F);
    matrix.multiply({finite.data(), rows, inputs}, {y.data(), rows, 64});
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t out = 0; out < 64; ++out) {
        float sum = 0.0F;
        for (std::int64_t k = 0; k < inputs && out < outputs; ++k) {
          sum = std::fma(finite[static_cast<std::size_t>(r * inputs + k)], weight(out, k), sum);
        }
        CAPTURE(rows, r, out);
        REQUIRE(bits(y[static_cast<std::size_t>(r * 64 + out)]) == bits(sum));
      }
    }
  }
}

}  // namespace sjd::test
