// SPDX-License-Identifier: Apache-2.0
// The fixed-order arithmetic against the standard library, within the bounds that its comments
// give.
#include <algorithm>
#include <cmath>

#include "sjd/core/mass.hpp"
#include "sjd/core/numeric.hpp"
#include "support/catch.hpp"

namespace sjd::test {

TEST_CASE("exp2_nonpositive is within 3e-7") {
  double worst = 0.0;
  for (int i = 0; i <= 1'000'000; ++i) {
    const float x = -124.99F * static_cast<float>(i) * 1.0e-6F;
    const double exact = std::exp2(double{x});
    worst = std::max(worst, std::fabs(double{exp2_nonpositive(x)} - exact) / exact);
  }
  CHECK(worst < 3.0e-7);
  CHECK(exp2_nonpositive(0.0F) == 1.0F);
  CHECK(exp2_nonpositive(-1.0F) == 0.5F);
  CHECK(exp2_nonpositive(-125.0F) == 0.0F);
  CHECK(exp2_nonpositive(-INFINITY) == 0.0F);
}

TEST_CASE("masses are 2^31 e^x to a relative 2e-6 and half a unit") {
  for (int i = 0; i <= 1'000'000; ++i) {
    const float x = -23.0F * static_cast<float>(i) * 1.0e-6F;
    const double exact = 2147483648.0 * std::exp(double{x});
    REQUIRE(std::fabs(static_cast<double>(mass_of(x)) - exact) < 0.5001 + 2.0e-6 * exact);
  }
  CHECK(mass_of(0.0F) == 1U << 31);
  CHECK(mass_of(-23.0F) == 0);
  CHECK(mass_of(-INFINITY) == 0);
}

TEST_CASE("masses do not grow as logits fall") {
  std::uint32_t last = mass_of(0.0F);
  for (int i = 1; i <= 2'000'000; ++i) {
    const std::uint32_t mass = mass_of(-23.0F * static_cast<float>(i) * 5.0e-7F);
    REQUIRE(mass <= last + last / 4'000'000);
    last = mass;
  }
}

TEST_CASE("log_positive is within 2e-6 away from 1") {
  double worst = 0.0;
  for (int i = 1; i <= 1'000'000; ++i) {
    const float x = std::exp2(static_cast<float>(i) * 2.4e-4F - 120.0F);
    const double exact = std::log(double{x});
    worst = std::max(worst,
                     std::fabs(double{log_positive(x)} - exact) / std::max(std::fabs(exact), 0.1));
  }
  CHECK(worst < 2.0e-6);
}

TEST_CASE("exponential variates keep their relative precision at both ends") {
  double worst = 0.0;
  const auto compare = [&](std::uint32_t word) {
    const double exact = -std::log1p(-(static_cast<double>(word) + 0.5) / 4294967296.0);
    worst = std::max(worst, std::fabs(double{exponential_variate(word)} - exact) / exact);
  };
  for (std::uint32_t i = 0; i < 4096; ++i) {
    compare(i);
    compare(~i);
    compare(0x7FFFF800U + i);
  }
  for (std::uint64_t word = 0; word < (std::uint64_t{1} << 32); word += 4099) {
    compare(static_cast<std::uint32_t>(word));
  }
  CHECK(worst < 3.0e-6);
}

TEST_CASE("normal quantiles are within 5e-4 and odd") {
  double worst = 0.0;
  for (std::uint32_t i = 0; i < (1U << 23); i += 7) {
    const float probability = std::fma(static_cast<float>(i), 1.1920929e-7F, 5.9604645e-8F);
    const double x = double{normal_quantile(probability)};
    // The distance in x is the error of the CDF over the density.
    const double cdf = 0.5 * std::erfc(-x / std::sqrt(2.0));
    const double density = std::exp(-0.5 * x * x) / std::sqrt(2.0 * M_PI);
    worst = std::max(worst, std::fabs(cdf - double{probability}) / density);
    REQUIRE(normal_quantile(1.0F - probability) == -normal_quantile(probability));
  }
  CHECK(worst < 5.0e-4);
}

}  // namespace sjd::test
