// SPDX-License-Identifier: Apache-2.0
// Statistics of an embedding table, on the host executor: the bits of the CPU, and no digits lost
// to a large mean.
#include <cmath>

#include "cuda/statistics_cases.hpp"
#include "sjd/cuda/launch.hpp"
#include "support/catch.hpp"

namespace sjd::test {

TEST_CASE("statistics and normalised tables have the bits of the CPU path") {
  for (const bool per_channel : {true, false}) {
    for (const float offset : {0.0F, -3.0F, 1.0e6F}) {
      for (const std::int64_t dim : {1, 7, 70}) {
        StatisticsArrays all = statistics_of(41, dim, per_channel, offset);
        cuda::HostLauncher launcher{{.seed = static_cast<std::uint64_t>(dim)}};
        cuda::statistics(launcher, statistics_arguments(all), 32);
        CAPTURE(per_channel, offset, dim);
        CHECK(statistics_difference(all) == "");
      }
    }
  }
}

TEST_CASE("a mean of a million leaves the variance its digits") {
  StatisticsArrays near = statistics_of(64, 3, true, 0.0F);
  StatisticsArrays far = statistics_of(64, 3, true, 1.0e6F);
  cuda::HostLauncher launcher;
  cuda::statistics(launcher, statistics_arguments(near), 32);
  cuda::statistics(launcher, statistics_arguments(far), 32);
  // All numbers are multiples of 1/16 below 2^24 of them: nothing is rounded on the way in.
  REQUIRE(far.scale[0] == close_to(near.scale[0]).epsilon(1e-6));
  REQUIRE(far.scale[0] > 1.0F);
  REQUIRE(far.scale[2] == 1.0F);
}

}  // namespace sjd::test
