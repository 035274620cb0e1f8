// SPDX-License-Identifier: Apache-2.0
// Levels, denoising steps, normalisation and what the host is fed, against plain double arithmetic.
#include <algorithm>
#include <cmath>
#include <limits>

#include "sjd/cpu/window_update.hpp"
#include "sjd/policies/noise_feed.hpp"
#include "sjd/policies/normalization.hpp"
#include "support/catch.hpp"
#include "support/guarded_row.hpp"
#include "support/table_law.hpp"

namespace sjd::test {
namespace {

std::vector<float> random_table(std::uint64_t seed, std::size_t size) {
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i) {
    values[i] = static_cast<float>(mix(seed ^ mix(i)) % 1000) / 300.0F - 1.0F;
  }
  return values;
}

}  // namespace

TEST_CASE("Karras levels span the range and preserve the variance") {
  const KarrasSchedule schedule{.levels = 4, .grid = 12, .rho_min = 2.0F, .rho_max = 16.0F};
  CHECK(schedule.rho(13) == close_to(16.0));
  CHECK(schedule.rho(1) == close_to(2.0));
  CHECK(schedule.rho(0) == 0.0F);
  CHECK(schedule.coefficients(0) == NoiseCoefficients{1.0F, 0.0F});
  for (std::int32_t level = 1; level <= 13; ++level) {
    CHECK(schedule.rho(level) > schedule.rho(level - 1));
    const NoiseCoefficients c = schedule.coefficients(level);
    CHECK(c.alpha * c.alpha + c.sigma * c.sigma == close_to(1.0));
    CHECK(c.sigma / c.alpha == close_to(schedule.rho(level)));
    const double middle =
        std::pow(std::pow(16.0, 1 / 7.0) +
                     (13 - level) / 12.0 * (std::pow(2.0, 1 / 7.0) - std::pow(16.0, 1 / 7.0)),
                 7.0);
    CHECK(schedule.rho(level) == close_to(middle));
  }
}

TEST_CASE("a schedule outside its ranges is refused, one at their ends is not") {
  const auto is_valid = [](const KarrasSchedule& schedule) {
    try {
      schedule.validate();
      return true;
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_argument);
      return false;
    }
  };
  CHECK(is_valid({.levels = 1, .grid = 1}));
  CHECK(is_valid({.levels = 2, .grid = 1}));
  CHECK_FALSE(is_valid({.levels = 3, .grid = 1}));
  CHECK_FALSE(is_valid({.levels = 0, .grid = 1}));
  CHECK_FALSE(is_valid({.levels = 1, .grid = 0}));
  CHECK(is_valid({.levels = 1, .grid = 65'536}));
  CHECK(is_valid({.levels = 65'537, .grid = 65'536}));
  CHECK_FALSE(is_valid({.levels = 1, .grid = 65'537}));
  CHECK_FALSE(is_valid({.levels = 6, .grid = 12}));
  CHECK(is_valid({.rho_min = 1.0e-6F, .rho_max = 1.0e6F}));
  CHECK_FALSE(is_valid({.rho_min = 0.99e-6F, .rho_max = 2.0F}));
  CHECK_FALSE(is_valid({.rho_min = 1.0F, .rho_max = 1.01e6F}));
  CHECK_FALSE(is_valid({.rho_min = 2.0F, .rho_max = 2.0F}));
  CHECK_FALSE(is_valid({.tokens_per_level = 0}));
}

TEST_CASE("decoding levels are strides of the checkpoint's grid, noisiest included") {
  for (const std::int32_t levels : {1, 2, 3, 4, 5, 7, 13}) {
    const KarrasSchedule schedule{.levels = levels, .grid = 12};
    CHECK_NOTHROW(schedule.validate());
    CHECK(schedule.checkpoint_level(0) == 0);
    CHECK(schedule.checkpoint_level(levels) == 13);
    if (levels > 1) CHECK(schedule.checkpoint_level(1) == 1);
    for (std::int32_t k = 1; k <= levels; ++k) {
      CHECK(schedule.checkpoint_level(k) > schedule.checkpoint_level(k - 1));
    }
  }
}

TEST_CASE("levels fall by age or by deadline, never rise, and end clean at the tip") {
  const KarrasSchedule by_age{.levels = 4, .grid = 12};
  CHECK(by_age.next_level(4, 1) == 3);
  CHECK(by_age.next_level(1, 99) == 0);
  CHECK(by_age.next_level(0, 1) == 0);
  const KarrasSchedule deadline{
      .levels = 4, .grid = 12, .descent = LevelDescent::by_deadline, .tokens_per_level = 3};
  for (std::int32_t level = 0; level <= 4; ++level) {
    CHECK(deadline.next_level(level, 1) == 0);
    for (std::int64_t distance = 1; distance < 40; ++distance) {
      const std::int32_t next = deadline.next_level(level, distance);
      CHECK(next == std::min<std::int64_t>(level, (distance - 1) / 3));
    }
  }
}

TEST_CASE("a denoising step with the true clean vector lands on the lower level") {
  const KarrasSchedule schedule{.levels = 3, .grid = 12};
  const std::vector<float> clean = random_table(1, 16);
  const std::vector<float> noise = random_table(2, 16);
  for (std::int32_t from = 13; from > 1; from -= 3) {
    const NoiseCoefficients a = schedule.coefficients(from);
    const NoiseCoefficients b = schedule.coefficients(from - 1);
    std::vector<float> z(16);
    for (std::size_t d = 0; d < z.size(); ++d) z[d] = a.alpha * clean[d] + a.sigma * noise[d];
    cpu::denoise(a, b, clean, z);
    for (std::size_t d = 0; d < z.size(); ++d) {
      CHECK(z[d] == close_to(b.alpha * clean[d] + b.sigma * noise[d]).margin(1e-5));
    }
  }
}

TEST_CASE("channels are normalised to zero mean and unit variance, and back") {
  const std::vector<float> values = random_table(3, 12 * 5);
  std::vector<float> table = values;
  for (std::size_t v = 0; v < 12; ++v) table[v * 5 + 4] = 0.25F;  // a channel without variance
  const MatrixView<const float> view{table.data(), 12, 5};
  const EmbeddingSpace space = make_embedding_space(view, {}, PerChannelNormalization{});
  for (std::size_t d = 0; d < 5; ++d) {
    double mean = 0.0, square = 0.0;
    for (std::size_t v = 0; v < 12; ++v) {
      const float x = space.normalized[v * 5 + d];
      mean += x / 12.0;
      square += double{x} * x / 12.0;
      CHECK(std::fma(x, space.scale[d], space.mean[d]) == close_to(table[v * 5 + d]).margin(1e-6));
    }
    CHECK(mean == close_to(0.0).margin(1e-6));
    CHECK(square == close_to(d == 4 ? 0.0 : 1.0).margin(1e-5));
  }
  const std::vector<float> mean(5, 1.0F), scale(5, 4.0F), other(4, 1.0F), prior(12, -2.0F);
  const EmbeddingSpace given = make_embedding_space(
      view, {.mean = mean, .scale = scale, .log_prior = prior}, PerChannelNormalization{});
  CHECK(given.normalized[7] == (table[7] - 1.0F) / 4.0F);
  CHECK(given.log_prior.size() == 32);
  CHECK(std::equal(prior.begin(), prior.end(), given.log_prior.begin()));
  CHECK(given.log_prior[12] == -std::numeric_limits<float>::infinity());
  for (const NoiseContract& bad :
       {NoiseContract{.mean = other, .scale = other}, NoiseContract{.mean = mean},
        NoiseContract{.log_prior = other}}) {
    CHECK_THROWS_AS(make_embedding_space(view, bad, PerChannelNormalization{}), Error);
  }
}

TEST_CASE("rows are normalised by themselves, or not at all") {
  const std::vector<float> table = random_table(4, 6 * 8);
  // Nothing behind the table may be read.
  const GuardedRow room{table.size()};
  std::copy(table.begin(), table.end(), room.end() - table.size());
  const MatrixView<const float> view{room.end() - table.size(), 6, 8};
  const EmbeddingSpace rows = make_embedding_space(view, {}, PerTokenNormalization{});
  double all_means = 0.0, all_scales = 0.0;
  for (std::int64_t v = 0; v < 6; ++v) {
    const Moments m = moments(view.row(v).data(), 8, 1);
    all_means += m.mean / 6.0;
    all_scales += m.scale() / 6.0;
    double mean = 0.0, square = 0.0;
    for (const float x : rows.clean(v)) {
      mean += x / 8.0;
      square += double{x} * x / 8.0;
    }
    CHECK(mean == close_to(0.0).margin(1e-6));
    CHECK(square == close_to(1.0));
  }
  for (std::size_t d = 0; d < 8; ++d) {
    CHECK(rows.mean[d] == close_to(all_means));
    CHECK(rows.scale[d] == close_to(all_scales));
  }
  const EmbeddingSpace plain = make_embedding_space(view, {}, NoNormalization{});
  CHECK(plain.normalized == table);
  CHECK(plain.mean == std::vector<float>(8, 0.0F));
  CHECK(plain.scale == std::vector<float>(8, 1.0F));
  for (std::size_t v = 0; v < 6; ++v) {
    CHECK(plain.log_prior[v] == 0.0F);
    double square = 0.0;
    for (std::size_t d = 0; d < 8; ++d) square += double{table[v * 8 + d]} * table[v * 8 + d];
    CHECK(plain.half_square[v] == close_to(0.5 * square));
  }
}

TEST_CASE("the posterior means of several rows are those of each by itself") {
  const std::vector<float> table = random_table(8, 40 * 5);
  const EmbeddingSpace space =
      make_embedding_space({table.data(), 40, 5}, {}, PerChannelNormalization{});
  const KarrasSchedule schedule;
  std::vector<std::vector<float>> noise;
  std::vector<NoisyRow> rows;
  for (std::uint64_t n = 0; n < 7; ++n) noise.push_back(random_table(90 + n, 5));
  for (const std::vector<float>& z : noise) {
    rows.push_back({z, schedule.coefficients(1 + static_cast<std::int32_t>(rows.size()))});
  }
  std::vector<float> scratch, all(7 * 5), one(5);
  PosteriorMean{}.feed(space, rows, scratch, {all.data(), 7, 5});
  for (std::size_t n = 0; n < rows.size(); ++n) {
    PosteriorMean{}.feed(space, {&rows[n], 1}, scratch, {one.data(), 1, 5});
    CHECK(std::equal(one.begin(), one.end(), all.begin() + static_cast<std::ptrdiff_t>(5 * n)));
  }
}

TEST_CASE("raw noise is only denormalised") {
  const std::vector<float> table = random_table(5, 6 * 3);
  const EmbeddingSpace space =
      make_embedding_space({table.data(), 6, 3}, {}, PerChannelNormalization{});
  const std::vector<float> z{0.5F, -1.0F, 2.0F};
  std::vector<float> scratch, fed(3);
  const std::vector<NoisyRow> rows{{z, {0.5F, 0.8F}}};
  RawNoise{}.feed(space, rows, scratch, {fed.data(), 1, 3});
  for (std::size_t d = 0; d < 3; ++d)
    CHECK(fed[d] == close_to(z[d] * space.scale[d] + space.mean[d]));
  // It needs none of the tables of the posterior.
  const EmbeddingSpace lean =
      make_embedding_space({table.data(), 6, 3}, {}, PerChannelNormalization{}, false);
  CHECK((lean.scores.padded_outputs() == 0 && lean.mixture.padded_outputs() == 0));
  CHECK((lean.half_square.empty() && lean.log_prior.empty()));
  std::vector<float> again(3);
  RawNoise{}.feed(lean, rows, scratch, {again.data(), 1, 3});
  CHECK(again == fed);
}

TEST_CASE("the posterior mean is the mean of the table under the posterior") {
  constexpr std::size_t vocab = 20, dim = 6;
  const std::vector<float> table = random_table(6, vocab * dim);
  std::vector<float> prior(vocab);
  for (std::size_t v = 0; v < vocab; ++v) prior[v] = -0.1F * static_cast<float>(v);
  const EmbeddingSpace space = make_embedding_space(
      {table.data(), vocab, dim}, {.log_prior = prior}, PerChannelNormalization{});
  const KarrasSchedule schedule;
  std::vector<float> scratch, fed(dim);
  for (std::int32_t level = 1; level <= schedule.grid + 1; ++level) {
    const NoiseCoefficients noise = schedule.coefficients(level);
    const std::vector<float> z = random_table(70 + static_cast<std::uint64_t>(level), dim);
    const std::vector<NoisyRow> rows{{z, noise}};
    PosteriorMean{}.feed(space, rows, scratch, {fed.data(), 1, dim});
    std::vector<double> likelihood(vocab);
    double total = 0.0;
    for (std::size_t v = 0; v < vocab; ++v) {
      double distance = 0.0;
      for (std::size_t d = 0; d < dim; ++d) {
        const double off = double{z[d]} - double{noise.alpha} * space.normalized[v * dim + d];
        distance += off * off;
      }
      likelihood[v] = std::exp(double{prior[v]} - distance / (2.0 * noise.sigma * noise.sigma));
      total += likelihood[v];
    }
    for (std::size_t d = 0; d < dim; ++d) {
      double mean = 0.0;
      for (std::size_t v = 0; v < vocab; ++v) mean += likelihood[v] / total * table[v * dim + d];
      CHECK(fed[d] == close_to(mean).margin(2e-5));
    }
  }
}

}  // namespace sjd::test
