// SPDX-License-Identifier: Apache-2.0
// From logits to a law: guidance, temperature, top-k, top-p, ties, bad numbers.
#include <cmath>
#include <limits>
#include <numeric>

#include "sjd/cpu/law_builder.hpp"
#include "sjd/cpu/rows.hpp"
#include "support/catch.hpp"
#include "support/table_law.hpp"

namespace sjd::test {
namespace {

using cpu::guide;
using cpu::LawBuilder;

constexpr float infinity = std::numeric_limits<float>::infinity();

TokenLaw build(std::vector<float> logits, const SamplingOptions& options = {}) {
  LawBuilder builder;
  TokenLaw law;
  builder.build(logits, options, law);
  return law;
}

/// What temperature, top-k and top-p mean, in double precision and without cleverness.
std::vector<double> slow_law(const std::vector<float>& logits, const SamplingOptions& options) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  if (options.top_k > 0) {
    order.resize(std::min(order.size(), static_cast<std::size_t>(options.top_k)));
  }
  std::vector<double> p(logits.size(), 0.0);
  double total = 0.0;
  for (const std::size_t v : order) {
    p[v] = std::exp((double{logits[v]} - double{logits[order[0]]}) / double{options.temperature});
    total += p[v];
  }
  double reached = 0.0;
  double kept = 0.0;
  for (const std::size_t v : order) {
    if (options.top_p < 1.0F && reached >= double{options.top_p} * total) {
      p[v] = 0.0;
    } else {
      reached += p[v];
      kept += p[v];
    }
  }
  for (double& x : p) x /= kept;
  return p;
}

}  // namespace

TEST_CASE("filters agree with their plain meaning") {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    std::vector<float> logits(40);
    for (std::size_t v = 0; v < logits.size(); ++v) {
      logits[v] = static_cast<float>(mix(seed ^ mix(v)) % 2000) / 250.0F - 4.0F;
    }
    const SamplingOptions options{.temperature = 0.25F + 0.25F * static_cast<float>(seed % 7),
                                  .top_k = static_cast<std::int64_t>(seed % 5) * 9,
                                  .top_p = seed % 3 == 0 ? 1.0F : 0.8F};
    const TokenLaw law = build(logits, options);
    const std::vector<double> exact = slow_law(logits, options);
    for (std::size_t v = 0; v < logits.size(); ++v) {
      const double p =
          static_cast<double>(law.mass(static_cast<TokenId>(v))) / static_cast<double>(law.sum());
      REQUIRE(std::fabs(p - exact[v]) < 3e-6);
    }
  }
}

TEST_CASE("ties keep the lowest ids") {
  CHECK(build({1, 2, 2, 2}, {.top_k = 2}).token(0) == 1);
  CHECK(build({1, 2, 2, 2}, {.top_k = 2}).token(1) == 2);
  CHECK(build({1, 2, 2, 2}, {.top_k = 2}).size() == 2);
  CHECK(build({2, 2, 2}, {.temperature = 0}).token(0) == 0);
  CHECK(build({1, 3, 3}, {.temperature = 0}).kind() == TokenLaw::Kind::point);
  CHECK(build({1, 3, 3}, {.temperature = 0}).token(0) == 1);
  CHECK(build({0, 0, 0, 0}, {.top_p = 0.5F}).size() == 2);
  CHECK(build({0, 0, 0, 0}, {.top_p = 0.51F}).size() == 3);
  CHECK(build({0, 9, 0, 0}, {.top_p = 1e-30F}).token(0) == 1);
  CHECK(build({0, 9, 0, 0}, {.top_p = 1e-30F}).size() == 1);
}

TEST_CASE("filters that filter nothing change nothing") {
  const std::vector<float> logits{0.5F, -1, 2, -infinity, 0.25F};
  const TokenLaw plain = build(logits);
  CHECK(build(logits, {.top_k = 5}) == plain);
  CHECK(build(logits, {.top_k = 500}) == plain);
  CHECK(plain.size() == 4);
  CHECK(plain.mass(3) == 0);
}

TEST_CASE("a common shift of the logits changes nothing") {
  const std::vector<float> logits{0.5F, -1, 2, 0.25F};
  for (const float shift : {1024.0F, -1024.0F, 8.0F}) {
    std::vector<float> moved = logits;
    for (float& z : moved) z += shift;
    for (const float temperature : {1.0F, 0.37F, 3.0F}) {
      CHECK(build(moved, {.temperature = temperature}) ==
            build(logits, {.temperature = temperature}));
    }
  }
}

TEST_CASE("the largest logit always has the largest mass, at any temperature") {
  const std::vector<float> logits{-50.125F, 80.7F, 12, 80.5F, -3.0e38F};
  for (float t = 1.0e-45F; t < 1.0e38F && t > 0.0F; t *= 7.0F) {
    const TokenLaw law = build(logits, {.temperature = t});
    REQUIRE(law.sum() > 0);
    REQUIRE(law.mass(1) == 1U << 31);
    REQUIRE((law.mode() == 1 || t > 1.0F));  // a large temperature makes ties
    if (t < 1.0e-3F) REQUIRE(law.size() == 1);
  }
  for (const float t : {1.0e-6F, 1.0e-20F, 1.0e-38F}) {
    CHECK(build({1.0e6F, 1.0e6F + 1.0F, -1.0e6F}, {.temperature = t, .top_k = 2}).mode() == 1);
  }
}

TEST_CASE("top-k of one is the likeliest token, the lowest id on a tie") {
  const TokenLaw law = build({1, 3, 3, 2}, {.top_k = 1});
  CHECK(law.size() == 1);
  CHECK(law.token(0) == 1);
}

TEST_CASE("top-p counts to the unit") {
  constexpr double one = 2147483648.0;  // the mass of the largest logit
  int found = 0;
  for (int i = 0; i < 4096; ++i) {
    const float logit = -1.0F - static_cast<float>(i) * 1.0e-4F;
    const double total = one + static_cast<double>(mass_of(logit));
    const auto share = static_cast<float>(one / total);
    const double beyond = static_cast<double>(share) * total - one;
    if (beyond <= 0.0 || beyond > 1.0) continue;
    found += 1;
    CHECK(build({0.0F, logit}, {.top_p = share}).size() == 2);
  }
  CHECK(found > 0);
}

TEST_CASE("a forced position has a point law, of token 0 too") {
  const std::vector<float> logits{1, 2, 3};
  cpu::RowPipeline pipeline;
  TokenLaw law;
  pipeline.law({logits.data(), 1, 3}, {}, RowEndGrammar{.columns = 1, .row_end = 0}, {}, 0, 1, law);
  CHECK(law == TokenLaw::point(0));
}

TEST_CASE("bad logits are refused") {
  CHECK_THROWS_AS(build({0, NAN}), Error);
  CHECK_THROWS_AS(build({0, infinity}), Error);
  CHECK_THROWS_AS(build({-infinity, -infinity}), Error);
  CHECK_THROWS_AS(build({-infinity, NAN}, {.temperature = 0}), Error);
  CHECK(build({-infinity, 3}).token(0) == 1);
  for (const float bad : {infinity, -NAN, NAN}) {
    try {
      static_cast<void>(build({1, -infinity, 3, bad, bad, 0}));
      FAIL("nothing was thrown");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_logits);
      CHECK(std::string{error.what()} == "logits: NaN or +Inf at token 3");
    }
  }
  CHECK(build({7}).sum() > 0);
}

TEST_CASE("options outside their range are refused") {
  CHECK_THROWS_AS((SamplingOptions{.temperature = -1}.validate()), Error);
  CHECK_THROWS_AS((SamplingOptions{.temperature = NAN}.validate()), Error);
  CHECK_THROWS_AS((SamplingOptions{.temperature = infinity}.validate()), Error);
  CHECK_THROWS_AS((SamplingOptions{.top_k = -1}.validate()), Error);
  CHECK_THROWS_AS((SamplingOptions{.top_p = 0}.validate()), Error);
  CHECK_THROWS_AS((SamplingOptions{.top_p = 1.5F}.validate()), Error);
  CHECK_THROWS_AS((SamplingOptions{.top_p = 1.001F}.validate()), Error);
  CHECK_THROWS_AS((SamplingOptions{.top_p = NAN}.validate()), Error);
  CHECK_NOTHROW((SamplingOptions{.temperature = 0, .top_k = 3, .top_p = 0.5F}.validate()));
}

TEST_CASE("guidance combines any number of branches") {
  const std::vector<float> rows{1, 2, -infinity, 3, 5, -infinity, -1, 0, -infinity};
  std::vector<float> out(3);
  guide({rows.data(), 1, 3}, {}, out);
  CHECK(out == std::vector<float>{1, 2, -infinity});
  const std::vector<float> one{2.0F};
  guide({rows.data() + 3, 2, 3}, one, out);
  CHECK(out == std::vector<float>{7, 10, -infinity});
  const std::vector<float> two{2.0F, 0.5F};
  guide({rows.data(), 3, 3}, two, out);
  CHECK(out[0] == -1 + 2 * 2 + 0.5F * 4);
  CHECK(out[1] == 2 * 2 + 0.5F * 5);
  CHECK(out[2] == -infinity);
}

}  // namespace sjd::test
