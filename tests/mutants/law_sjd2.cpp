// SPDX-License-Identifier: Apache-2.0
// The enumerated law of SJD2, as small as it may be to see every mutant of the noisy window; the
// table host refuses a pass that breaks its contract.
#include "sjd/denoiser.hpp"
#include "support/instances.hpp"

namespace sjd::test {

TEST_CASE("SJD2 draws AR's law") {
  const KarrasSchedule schedule{.levels = 2, .grid = 4, .rho_min = 0.5F, .rho_max = 2.0F};
  const std::vector<Instance> cases{
      {3, 4, 3, 0, false, 7301}, {3, 4, 3, 2, true, 7302}, {3, 4, 4, 0, false, 7303}};
  const Tally tally = enumerate_composition("SJD2 coupled, K=2", {.dim = 1}, cases, schedule);
  CHECK(tally.worst <= 1e-12L);
}

}  // namespace sjd::test
