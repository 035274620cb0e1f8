// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "sjd/hosts/kernels.hpp"
#include "sjd/hosts/linear.hpp"
#include "sjd/hosts/thread_pool.hpp"
#include "support/catch.hpp"

namespace {

using sjd::Error;
using sjd::hosts::InstructionSet;
using sjd::hosts::kernels;
using sjd::hosts::KernelTable;
using sjd::hosts::LinearPart;
using sjd::hosts::PackedLinear;
using sjd::hosts::Storage;
using sjd::hosts::ThreadPool;

std::vector<InstructionSet> sets() {
  std::vector<InstructionSet> result;
  for (const auto set : {InstructionSet::scalar, InstructionSet::avx2, InstructionSet::avx512,
                         InstructionSet::amx}) {
    if (sjd::hosts::supported(set)) result.push_back(set);
  }
  return result;
}

/// Normal values with few enough bits that they are bf16 numbers.
std::vector<float> random_values(std::int64_t count, std::uint32_t seed) {
  std::mt19937 engine{seed};
  std::normal_distribution<float> normal{0.0F, 40.0F};
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(std::round(normal(engine)) / 64.0F);
  return values;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

float chain(const float* x, const float* w, std::int64_t depth) {
  float sum = 0.0F;
  for (std::int64_t k = 0; k < depth; ++k) sum = std::fma(x[k], w[k], sum);
  return sum;
}

}  // namespace

TEST_CASE("every output of an fp32 product is one chain of fma", "[kernels]") {
  constexpr std::int64_t outputs = 150;  // five panels, the last one not full
  constexpr std::int64_t inputs = 37;
  constexpr std::int64_t stride = 200;
  const std::vector<float> weight = random_values(outputs * inputs, 1);
  const std::vector<float> x = random_values(40 * inputs, 2);
  const PackedLinear linear{weight, outputs, inputs, Storage::fp32};
  REQUIRE(linear.padded_outputs() == 160);
  for (const auto set : sets()) {
    for (std::int64_t rows = 1; rows <= 40; ++rows) {
      for (const bool accumulate : {false, true}) {
        CAPTURE(static_cast<int>(set), rows, accumulate);
        std::vector<float> y(static_cast<std::size_t>(rows * stride), 1.0F / 3.0F);
        std::vector<float> expected = y;
        LinearPart part{0, rows, 0, 2, y.data(), stride, accumulate};
        linear.apply(kernels(set), x.data(), inputs, part);
        part = {0, rows, 2, 3, y.data() + 64, stride, accumulate};
        linear.apply(kernels(set), x.data(), inputs, part);
        for (std::int64_t row = 0; row < rows; ++row) {
          for (std::int64_t out = 0; out < linear.padded_outputs(); ++out) {
            float& value = expected[static_cast<std::size_t>(row * stride + out)];
            const float* w = weight.data() + out * inputs;
            const float sum = out < outputs ? chain(x.data() + row * inputs, w, inputs) : 0.0F;
            value = accumulate ? value + sum : sum;
          }
        }
        REQUIRE(same_bits(y, expected));
      }
    }
  }
}

TEST_CASE("bf16 storage refuses what it would round", "[kernels]") {
  const std::vector<float> weight{1.0F, 0.1F};
  CHECK_THROWS_AS((PackedLinear{weight, 1, 2, Storage::bf16}), Error);
  CHECK_NOTHROW(PackedLinear{weight, 1, 2, Storage::fp32});
  CHECK_THROWS_AS((PackedLinear{weight, 2, 2, Storage::fp32}), Error);
}

TEST_CASE("silu and softmax follow exp closely, over its whole range", "[kernels]") {
  std::vector<float> x;
  for (int i = -3008; i < 3008; ++i) x.push_back(static_cast<float>(i) * 0.05F + 0.013F);
  std::vector<float> first;
  for (const auto set : sets()) {
    const KernelTable& kernel = kernels(set);
    std::vector<float> y(x.size());
    kernel.silu(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
    double worst = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto exact = static_cast<double>(x[i]) / (1.0 + std::exp(-static_cast<double>(x[i])));
      worst = std::max(
          worst, std::abs(static_cast<double>(y[i]) - exact) / std::max(std::abs(exact), 1e-30));
      REQUIRE(std::isfinite(y[i]));
    }
    CHECK(worst < 1e-6);
    std::vector<float> gated(x.size());
    std::vector<float> gate_up;  // panels of 32 and ones in turn
    for (std::size_t i = 0; i + 32 <= x.size(); i += 32) {
      gate_up.insert(gate_up.end(), x.begin() + static_cast<std::ptrdiff_t>(i),
                     x.begin() + static_cast<std::ptrdiff_t>(i + 32));
      gate_up.insert(gate_up.end(), 32, 1.0F);
    }
    kernel.silu_multiply(gate_up.data(), gated.data(), static_cast<std::int64_t>(x.size()) / 32);
    CHECK(same_bits(gated, y));
    if (first.empty()) first = y;
    CHECK(same_bits(y, first));
  }
}

TEST_CASE("softmax weights: own keys only, zero behind them", "[kernels]") {
  for (std::int64_t size = 1; size <= 70; ++size) {
    const std::vector<float> scores = random_values(size, static_cast<std::uint32_t>(size));
    double exact_sum = 0.0;
    const float top = *std::max_element(scores.begin(), scores.end());
    for (const float score : scores) exact_sum += std::exp(static_cast<double>(score - top));
    std::vector<float> first;
    for (const auto set : sets()) {
      for (const float behind : {1e30F, std::nanf("")}) {
        std::vector<float> weights = scores;
        weights.resize(96, behind);
        const float sum = kernels(set).softmax_weights(weights.data(), size, 96);
        CHECK(std::abs(static_cast<double>(sum) / exact_sum - 1.0) < 1e-6);
        for (std::size_t i = static_cast<std::size_t>(size); i < 96; ++i)
          REQUIRE(weights[i] == 0.0F);
        weights.push_back(sum);
        if (first.empty()) first = weights;
        REQUIRE(same_bits(weights, first));
      }
    }
  }
}

TEST_CASE("norm and rotation", "[kernels]") {
  constexpr std::int64_t size = 64;
  const std::vector<float> x = random_values(size, 3);
  const std::vector<float> weight = random_values(size, 4);
  std::vector<float> cosine, sine;
  for (int i = 0; i < 32; ++i) {
    cosine.push_back(std::cos(static_cast<float>(i)));
    sine.push_back(std::sin(static_cast<float>(i)));
  }
  double squares = 0.0;
  for (const float value : x) squares += static_cast<double>(value * value);
  std::vector<float> first;
  for (const auto set : sets()) {
    std::vector<float> y(size);
    kernels(set).rms_norm(x.data(), weight.data(), y.data(), size, 1e-5F);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double exact = static_cast<double>(x[i]) * static_cast<double>(weight[i]) /
                           std::sqrt(squares / static_cast<double>(size) + 1e-5);
      CHECK(std::abs(static_cast<double>(y[i]) - exact) < 1e-6 * (1.0 + std::abs(exact)));
    }
    std::vector<float> rotated(size);
    kernels(set).rotate(y.data(), cosine.data(), sine.data(), rotated.data(), 32);
    for (std::size_t i = 0; i < 32; ++i) {
      CHECK(std::abs(rotated[i] - (y[i] * cosine[i] - y[i + 32] * sine[i])) < 1e-5F);
      CHECK(std::abs(rotated[i + 32] - (y[i + 32] * cosine[i] + y[i] * sine[i])) < 1e-5F);
    }
    kernels(set).rotate(y.data(), cosine.data(), sine.data(), y.data(), 32);
    CHECK(same_bits(y, rotated));
    kernels(set).scale_row(y.data(), 0.3F, y.data(), size);
    if (first.empty()) first = y;
    CHECK(same_bits(y, first));
  }
}

TEST_CASE("ThreadPool runs every task once", "[kernels]") {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool{threads};
    CHECK(pool.threads() == threads);
    for (int round = 0; round < 2'000; ++round) {
      const std::int64_t tasks = round % 23;
      std::vector<int> count(static_cast<std::size_t>(tasks));  // each task has its own place
      std::atomic<bool> in_range{true};
      pool.run(tasks, [&](std::int64_t task, int thread) {
        if (thread < 0 || thread >= threads) in_range = false;
        ++count[static_cast<std::size_t>(task)];
      });
      REQUIRE(in_range);
      REQUIRE(std::all_of(count.begin(), count.end(), [](int times) { return times == 1; }));
    }
  }
  CHECK_THROWS_AS(ThreadPool{0}, Error);
}
