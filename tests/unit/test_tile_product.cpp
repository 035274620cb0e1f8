// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "sjd/hosts/kernels.hpp"
#include "sjd/hosts/linear.hpp"
#include "support/catch.hpp"

namespace {

using sjd::hosts::Bf16Product;
using sjd::hosts::half_block;
using sjd::hosts::InstructionSet;
using sjd::hosts::kernels;
using sjd::hosts::KernelTable;
using sjd::hosts::panel_width;
using Random = std::mt19937_64;

std::vector<InstructionSet> all_sets() {
  std::vector<InstructionSet> sets;
  for (const auto set : {InstructionSet::scalar, InstructionSet::avx2, InstructionSet::avx512,
                         InstructionSet::amx}) {
    if (sjd::hosts::supported(set)) sets.push_back(set);
  }
  return sets;
}

/// Numbers that are hard in one way or another.
enum class Kind { plain, products_near_denormals, denormals, any_exponent, cancelling, special };

float finite_number(Kind kind, Random& random) {
  std::uint32_t exponent = 0;
  switch (kind) {
    case Kind::plain:
    case Kind::special:
      exponent = static_cast<std::uint32_t>(119 + random() % 12);
      break;
    case Kind::products_near_denormals:
      exponent = static_cast<std::uint32_t>(55 + random() % 16);
      break;
    case Kind::denormals:
      exponent = random() % 2 == 0 ? 0 : 127;
      break;
    case Kind::any_exponent:
      exponent = static_cast<std::uint32_t>(random() % 190);
      break;
    case Kind::cancelling:
      return random() % 2 == 0 ? 1.625F : -1.625F;
  }
  if (random() % 16 == 0) return random() % 2 == 0 ? 0.0F : -0.0F;
  const auto rest = static_cast<std::uint32_t>(random()) & 0x807FFFFFU;
  return std::bit_cast<float>(rest | exponent << 23U);
}

std::uint16_t bf16_number(Kind kind, Random& random) {
  if (kind == Kind::special && random() % 64 == 0) {
    constexpr std::uint16_t odd_ones[] = {0x7F80, 0xFF80, 0x7FC1, 0x7F7F, 0xFF7F};
    return odd_ones[random() % 5];
  }
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(finite_number(kind, random)) >>
                                    16U);
}

struct Problem {
  std::int64_t rows, blocks, panels;
  bool accumulate;
  std::vector<std::uint16_t> x;        // [rows, 32 * blocks + 16]
  std::vector<std::uint32_t> weights;  // [panels, blocks, 2, half_block]
  std::vector<float> y;                // [rows, 32 * panels + 1], before

  Problem(std::int64_t row_count, std::int64_t block_count, std::int64_t panel_count, Kind kind,
          Random& random)
      : rows{row_count}, blocks{block_count}, panels{panel_count}, accumulate{random() % 2 == 0} {
    for (std::int64_t i = 0; i < rows * x_stride(); ++i) x.push_back(bf16_number(kind, random));
    for (std::int64_t i = 0; i < panels * blocks * 2 * half_block; ++i) {
      const std::uint32_t high = bf16_number(kind, random);
      weights.push_back(high << 16U | bf16_number(kind, random));
    }
    for (std::int64_t i = 0; i < rows * y_stride(); ++i) y.push_back(finite_number(kind, random));
  }
  [[nodiscard]] std::int64_t x_stride() const { return 32 * blocks + 16; }
  [[nodiscard]] std::int64_t y_stride() const { return 32 * panels + 1; }

  [[nodiscard]] Bf16Product product(std::vector<float>& out) const {
    return {x.data(), x_stride(), rows,       blocks,    weights.data(), blocks * 2 * half_block,
            panels,   out.data(), y_stride(), accumulate};
  }
  [[nodiscard]] std::vector<float> run(InstructionSet set) const {
    std::vector<float> out = y;
    kernels(set).product_bf16(product(out));
    return out;
  }
};

float flushed(float value) {
  return std::abs(value) < 0x1p-126F ? std::copysign(0.0F, value) : value;
}
float from_bf16(std::uint32_t bits) {
  return flushed(std::bit_cast<float>(bits << 16U));
}

/// One step of a chain. long double holds a * b + c exactly wherever the flush could go wrong.
float chained(float a, float b, float c) {
  const auto exact = static_cast<long double>(a) * static_cast<long double>(b) + c;
  const float rounded = std::fma(a, b, c);
  return std::abs(exact) < 0x1p-126L - 0x1p-151L ? std::copysign(0.0F, rounded) : rounded;
}
float added(float a, float b) {
  return flushed(flushed(a) + flushed(b));
}

/// The definition, output by output.
std::vector<float> defined(const Problem& problem) {
  std::vector<float> out = problem.y;
  for (std::int64_t row = 0; row < problem.rows; ++row) {
    for (std::int64_t n = 0; n < 32 * problem.panels; ++n) {
      float total = 0.0F;
      for (std::int64_t block = 0; block < problem.blocks; ++block) {
        const std::int64_t half = (n / 32 * problem.blocks + block) * 2 + n % 32 / 16;
        const std::uint32_t* w = problem.weights.data() + half * half_block + n % 16;
        const std::uint16_t* x = problem.x.data() + row * problem.x_stride() + block * 32;
        float even = 0.0F, odd = 0.0F;
        for (std::int64_t pair = 0; pair < 16; ++pair) {
          even = chained(from_bf16(x[2 * pair]), from_bf16(w[pair * 16] & 0xFFFFU), even);
          odd = chained(from_bf16(x[2 * pair + 1]), from_bf16(w[pair * 16] >> 16U), odd);
        }
        total = added(total, added(even, odd));
      }
      float& y = out[static_cast<std::size_t>(row * problem.y_stride() + n)];
      y = problem.accumulate ? added(y, total) : total;
    }
  }
  return out;
}

/// How many numbers differ in a bit; any NaN is as good as another.
std::int64_t differences(const std::vector<float>& a, const std::vector<float>& b) {
  std::int64_t count = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i])) ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("products of bf16 follow the definition bit for bit", "[tiles]") {
  Random random{1};
  for (const auto kind : {Kind::plain, Kind::products_near_denormals, Kind::denormals,
                          Kind::any_exponent, Kind::cancelling, Kind::special}) {
    for (const std::int64_t rows :
         {1, 2, 3, 5, 7, 12, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 70}) {
      const Problem problem{rows, static_cast<std::int64_t>(1 + random() % 6),
                            static_cast<std::int64_t>(1 + random() % 3), kind, random};
      const std::vector<float> expected = defined(problem);
      for (const auto set : all_sets()) {
        CAPTURE(static_cast<int>(kind), rows, static_cast<int>(set), problem.accumulate);
        CHECK(differences(problem.run(set), expected) == 0);
      }
    }
  }
}

TEST_CASE("a row of a product does not see the others", "[tiles]") {
  Random random{2};
  const Problem problem{77, 8, 5, Kind::any_exponent, random};
  const auto below = [&](std::int64_t limit) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
  };
  for (const auto set : all_sets()) {
    const std::vector<float> whole = problem.run(set);
    for (int trial = 0; trial < 60; ++trial) {
      const auto first = below(77);
      const auto rows = 1 + below(77 - first);
      const auto panel = below(5);
      const auto panels = 1 + below(5 - panel);
      std::vector<float> out = problem.y;
      Bf16Product part = problem.product(out);
      part.x += first * part.x_stride;
      part.y += first * part.y_stride + panel * panel_width;
      part.weights += panel * part.panel_stride;
      part.rows = rows;
      part.panels = panels;
      kernels(set).product_bf16(part);
      std::vector<float> expected = problem.y;
      for (std::int64_t row = first; row < first + rows; ++row) {
        const auto at = row * problem.y_stride() + panel * panel_width;
        std::copy_n(whole.begin() + at, panels * panel_width, expected.begin() + at);
      }
      CAPTURE(static_cast<int>(set), first, rows, panel, panels);
      REQUIRE(differences(out, expected) == 0);
    }
  }
}

TEST_CASE("rounding to bf16 goes to the nearest, ties to even", "[tiles]") {
  Random random{3};
  std::vector<float> x;
  for (std::uint32_t high = 0; high < 0x10000U; ++high) {
    for (const std::uint32_t low : {0x0000U, 0x0001U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
      x.push_back(std::bit_cast<float>(high << 16U | low));
    }
  }
  const auto size = static_cast<std::int64_t>(x.size());
  std::vector<std::uint16_t> expected;
  for (const float value : x) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    std::uint32_t up = bits >> 16U;
    if (std::isnan(value)) {
      up |= 0x40U;
    } else if (std::abs(value) < std::numeric_limits<float>::min()) {
      up &= 0x8000U;
    } else if ((bits & 0xFFFFU) > 0x8000U || ((bits & 0xFFFFU) == 0x8000U && (up & 1U) == 1U)) {
      ++up;
    }
    expected.push_back(static_cast<std::uint16_t>(up));
  }
  for (const auto set : all_sets()) {
    std::vector<std::uint16_t> y(x.size());
    kernels(set).round_row(x.data(), y.data(), size);
    CAPTURE(static_cast<int>(set));
    CHECK(y == expected);
  }
}

TEST_CASE("a product leaves the mode of the processor as it was", "[tiles]") {
  Random random{4};
  const Problem problem{20, 2, 1, Kind::denormals, random};
  for (const auto set : all_sets()) {
    static_cast<void>(problem.run(set));
    volatile float tiny = 0x1p-126F;
    CHECK(tiny * 0.5F == 0x1p-127F);
  }
}

TEST_CASE("a packed layer takes any number of inputs", "[tiles]") {
  Random random{5};
  std::normal_distribution<float> normal;
  for (const std::int64_t inputs : {16, 32, 48, 80}) {
    constexpr std::int64_t outputs = 40, rows = 19;
    std::vector<float> weight, x;
    for (std::int64_t i = 0; i < outputs * inputs; ++i) {
      weight.push_back(std::round(normal(random) * 32.0F) / 32.0F);
    }
    for (std::int64_t i = 0; i < rows * inputs; ++i) {
      x.push_back(std::round(normal(random) * 16.0F));
    }
    for (const auto storage : {sjd::hosts::Storage::bf16, sjd::hosts::Storage::fp32}) {
      const sjd::hosts::PackedLinear layer{weight, outputs, inputs, storage};
      const KernelTable& kernel = kernels(sjd::hosts::best_instruction_set());
      const sjd::hosts::Activations activations{storage, rows, inputs};
      for (std::int64_t i = 0; i < rows; ++i) {
        activations.store(kernel, i, 0, x.data() + i * inputs, inputs);
      }
      std::vector<float> y(static_cast<std::size_t>(rows * 64));
      layer.apply(kernel, activations, {.rows = rows, .panels = 2, .y = y.data(), .y_stride = 64});
      double worst = 0.0;  // all numbers are short: nothing is rounded
      for (std::int64_t i = 0; i < rows * outputs; ++i) {
        double sum = 0.0;
        for (std::int64_t k = 0; k < inputs; ++k) {
          sum += static_cast<double>(x[static_cast<std::size_t>(i / outputs * inputs + k)]) *
                 static_cast<double>(weight[static_cast<std::size_t>(i % outputs * inputs + k)]);
        }
        const auto got = y[static_cast<std::size_t>(i / outputs * 64 + i % outputs)];
        worst = std::max(worst, std::abs(sum - static_cast<double>(got)));
      }
      CHECK(worst == 0.0);
    }
  }
}

TEST_CASE("speed of the products of bf16", "[.][timing]") {
  Random random{6};
  for (const auto set : all_sets()) {
    for (const std::int64_t rows : {1, 8, 16, 32, 64, 128}) {
      const Problem problem{rows, 8, 22, Kind::plain, random};
      std::vector<float> out = problem.y;
      double best = 1e9;
      for (int i = 0; i < (set == InstructionSet::scalar ? 2 : 200); ++i) {
        const auto start = std::chrono::steady_clock::now();
        kernels(set).product_bf16(problem.product(out));
        best = std::min(
            best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      }
      std::printf("set %d, %3d x 256 x 704: %.1f us, %.0f GFLOP/s\n", static_cast<int>(set),
                  static_cast<int>(rows), 1e6 * best,
                  2.0 * static_cast<double>(rows) * 256 * 704 / best * 1e-9);
    }
  }
}
