// SPDX-License-Identifier: Apache-2.0
// The kernels of the device host by themselves, on the host executor.
#include <cstring>
#include <limits>
#include <vector>

#include "cuda/llama/attention_cases.hpp"
#include "sjd/cuda/launch.hpp"
#include "sjd/cuda/llama_layers.hpp"
#include "support/catch.hpp"

namespace sjd::test {
namespace {

using cuda::Bf16;
using cuda::RowKind;

template <class Number>
double host_error(const AttentionCase& c, std::uint64_t seed) {
  AttentionArrays<Number> all{c};
  cuda::HostLauncher launcher{{.seed = seed}};
  cuda::attend(launcher, all.arguments(c, [](auto& array) { return array.data(); }));
  CHECK(launcher.launched.size() == (c.splits > 1 ? 2U : 1U));
  return attention_error(c, all);
}

/// One row of a place kernel's answer.
cuda::RowPlace place_of(const InputRow& row, bool prompt = false) {
  const std::vector<std::int64_t> prompt_rows{4, 1, 0, 0};
  cuda::RowPlace place;
  cuda::GroupPlace group;
  cuda::HostLauncher launcher;
  cuda::place_rows(
      launcher,
      cuda::PlaceArguments{
          &row, 1, 1, prompt, {2, 2, 9, 96, 90, 5, 3}, prompt_rows.data(), &place, &group});
  CHECK(group.slot == place.slot);
  CHECK(group.keys == (place.kind == RowKind::live ? place.position + 1 : 0));
  return place;
}

bool is_bad(const InputRow& row, bool prompt = false) {
  return place_of(row, prompt).kind == RowKind::bad;
}

}  // namespace

TEST_CASE("attention in fp32 follows its definition") {
  for (const AttentionCase& c : attention_cases()) {
    CAPTURE(c.groups, c.rows, c.dim, c.before, c.splits);
    CHECK(host_error<float>(c, 3) < 2e-6);
  }
}

TEST_CASE("attention in bf16 follows its definition but for the rounding of weights and results") {
  for (const AttentionCase& c : attention_cases()) {
    CAPTURE(c.groups, c.rows, c.dim, c.before, c.splits);
    CHECK(host_error<Bf16>(c, 5) < 0.02);
  }
}

TEST_CASE("a row stands behind its prompt, and what no model takes is bad") {
  const cuda::RowPlace place = place_of({0, 0, 7, 95, 0, -1});
  CHECK(place.kind == RowKind::live);
  CHECK(place.slot == 0);
  CHECK(place.position == 11);
  CHECK(place_of({0, 1, 0, 0, 5, 2}).position == 1);
  CHECK(place_of({0, 0, 88, 0, 0, -1}).kind == RowKind::live);
  CHECK(place_of({-1, 0, 7, 95, 0, -1}).kind == RowKind::absent);
  CHECK(is_bad({0, 0, 89, 0, 0, -1}));  // the picture ends
  CHECK(is_bad({0, 0, 7, 96, 0, -1}));
  CHECK(is_bad({0, 0, 7, -1, 0, -1}));
  CHECK(is_bad({0, 0, 7, 0, 6, 0}));
  CHECK(is_bad({0, 0, 7, 0, -1, 0}));
  CHECK(is_bad({0, 0, 7, 0, 1, 3}));
  CHECK(is_bad({0, 0, 7, 0, 1, -1}));
  CHECK(is_bad({0, 2, 7, 0, 0, -1}));
  CHECK(is_bad({2, 0, 7, 0, 0, -1}));
  CHECK(is_bad({1, 0, 7, 0, 0, -1}));  // not prefilled
  CHECK(is_bad({0, 0, -1, 1, 0, -1}));
  CHECK(place_of({0, 0, -1, 1, 0, -1}, true).position == 3);
  CHECK(place_of({0, 0, -4, 8, 0, -1}, true).position == 0);
  CHECK(is_bad({0, 0, -5, 8, 0, -1}, true));
  CHECK(is_bad({0, 0, -4, 9, 0, -1}, true));
}

TEST_CASE("only live rows reach the cache") {
  constexpr std::int64_t dim = 32;
  constexpr std::int64_t width = 4 * dim;  // 2 heads, 1 key-value head
  std::vector<float> qkv(3 * width, 1.0F);
  qkv[width + 2 * dim] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<cuda::RowPlace> places{
      {RowKind::absent, 0, 3}, {RowKind::live, 1, 5}, {RowKind::bad, 0, 4}};
  const std::vector<float> before(2 * 64 * dim, 7.0F);
  std::vector<float> keys = before;
  std::vector<float> values = before;
  const std::vector<float> cosine(64 * dim / 2, 1.0F);
  const std::vector<float> sine(64 * dim / 2, 0.0F);
  cuda::RotaryArguments<float> a;
  a.qkv = qkv.data();
  a.places = places.data();
  a.row_count = 3;
  a.heads = 2;
  a.cosine = cosine.data();
  a.sine = sine.data();
  a.cache = {keys.data(), values.data(), 2, 1, 1, 64, dim};
  cuda::HostLauncher launcher;
  cuda::rotate_and_store(launcher, a);
  for (std::int64_t slot = 0; slot < 2; ++slot) {
    for (std::int64_t position = 0; position < 64; ++position) {
      for (std::int64_t d = 0; d < dim; ++d) {
        const auto at = static_cast<std::size_t>((slot * 64 + position) * dim + d);
        const bool live = slot == 1 && position == 5;
        // Channel 0 is not a number, and channel 16 turns with it.
        CHECK(keys[at] == (!live ? 7.0F : d % 16 == 0 ? 0.0F : 1.0F));
        CHECK(values[at] == (live ? 1.0F : 7.0F));
      }
    }
  }
}

TEST_CASE("random weights have the spread that was asked for and no two tensors alike") {
  std::vector<float> first(1001);
  std::vector<float> second(1001);
  cuda::HostLauncher launcher;
  cuda::fill_random(launcher, cuda::FillArguments<float>{first.data(), 1001, 9, 0, 1.0F, 0.5F});
  cuda::fill_random(launcher, cuda::FillArguments<float>{second.data(), 1001, 9, 1, 1.0F, 0.5F});
  double sum = 0.0;
  double squares = 0.0;
  for (const float x : first) {
    REQUIRE(x >= 0.5F);
    REQUIRE(x <= 1.5F);
    sum += static_cast<double>(x) / 1001.0;
    squares += static_cast<double>(x * x) / 1001.0;
  }
  CHECK(std::abs(sum - 1.0) < 0.05);
  CHECK(std::abs(squares - sum * sum - 1.0 / 12.0) < 0.01);
  CHECK(first != second);
}

}  // namespace sjd::test
