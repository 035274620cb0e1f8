// SPDX-License-Identifier: Apache-2.0
// The counter audit, as small as it may be to see a reused random number.
#include "sjd/denoiser.hpp"
#include "support/catch.hpp"
#include "support/recording_gate.hpp"
#include "support/table_host.hpp"

namespace sjd::test {

TEST_CASE("SJD draws no random number twice") {
  TableHost host{{.vocab = 9, .seed = 2}};
  CounterAudit audit;
  SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = 7}, RecordingRandom{&audit},
                                    NoNoise{}, FreshRedraw{}};
  CHECK(decoder.generate({.tokens = 60, .seed = 3}).tokens.size() == 60);
  CHECK(audit.repeated == 0);
}

}  // namespace sjd::test
