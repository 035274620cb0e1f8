// SPDX-License-Identifier: Apache-2.0
// The enumerated law of SJD, as small as it may be to see every mutant of the clean window: more
// than two tokens, four positions, three rows, a filter and a temperature.
#include "sjd/denoiser.hpp"
#include "support/instances.hpp"

namespace sjd::test {
namespace {

std::vector<Instance> small_instances(std::uint64_t salt) {
  return {{3, 4, 3, 0, false, salt + 1},
          {3, 4, 3, 2, false, salt + 2},
          {4, 4, 3, 3, true, salt + 3},
          {3, 5, 4, 0, true, salt + 4}};
}

template <class Refinement>
void check_law(const std::string& name, std::uint64_t salt, const Refinement& refinement) {
  const Tally plain = enumerate_composition(name, {}, small_instances(salt), NoNoise{}, refinement);
  CHECK(plain.worst <= 1e-12L);
}

}  // namespace

TEST_CASE("SJD draws AR's law") {
  check_law("SJD fresh", 7000, FreshRedraw{});
  check_law("SJD coupled", 7100, MaximalCoupling{});
}

TEST_CASE("SJD draws AR's law at a low temperature") {
  Tally tally{"SJD fresh, temperature 0.5"};
  for (const Instance& instance : small_instances(7200)) {
    TableHost host{{.vocab = instance.vocab, .seed = instance.seed}};
    Enumeration all;
    SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = instance.window},
                                      EnumeratingRandom{&all}, NoNoise{}, FreshRedraw{}};
    auto request = request_of(instance);
    request.sampling.temperature = 0.5F;
    tally.add(enumerate_decoder(decoder, all, request), autoregressive_joint(host.law(), request));
  }
  tally.print();
  CHECK(tally.worst <= 1e-12L);
}

}  // namespace sjd::test
