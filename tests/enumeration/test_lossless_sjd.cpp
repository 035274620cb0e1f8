// SPDX-License-Identifier: Apache-2.0
// Every lossless composition without noise, enumerated: its joint law is AR's.
#include "sjd/methods.hpp"
#include "sjd/plain_ar.hpp"
#include "support/instances.hpp"

namespace sjd::test {

TEST_CASE("PlainAr draws the chained table law", "[enumeration]") {
  Tally tally{"PlainAr"};
  for (const Instance& instance : instances(100)) {
    TableHost host{{.vocab = instance.vocab, .seed = instance.seed}};
    Enumeration all;
    PlainAr decoder{host, EnumeratingRandom{&all}};
    const auto request = request_of(instance);
    tally.add(enumerate_decoder(decoder, all, request), autoregressive_joint(host.law(), request));
  }
  tally.print();
  CHECK(tally.worst <= 1e-12L);
}

TEST_CASE("Jacobi greedy finds the greedy picture", "[enumeration]") {
  check_lossless("Jacobi greedy", 200, NoNoise{}, GreedyEquality{}, ModeRefinement{});
  check_lossless("Jacobi greedy, repeat left", 220, NoNoise{}, GreedyEquality{}, ModeRefinement{},
                 RepeatLeft{});
}

TEST_CASE("SJD with fresh drafts", "[enumeration]") {
  check_lossless("SJD fresh", 300, NoNoise{}, FreshRedraw{});
  check_lossless("SJD fresh, repeat left", 320, NoNoise{}, FreshRedraw{}, RepeatLeft{});
}

TEST_CASE("SJD with maximally coupled drafts", "[enumeration]") {
  check_lossless("SJD maximal coupling", 400, NoNoise{}, MaximalCoupling{});
  check_lossless("SJD maximal coupling, repeat left", 420, NoNoise{}, MaximalCoupling{},
                 RepeatLeft{});
}

TEST_CASE("SJD with shared noise and the ratio test", "[enumeration]") {
  check_lossless("SJD quantile coupling, ratio test", 500, NoNoise{}, QuantileCoupling{});
  check_lossless("SJD quantile coupling, repeat left", 520, NoNoise{}, QuantileCoupling{},
                 RepeatLeft{});
}

TEST_CASE("SJD with shared noise and the equality test", "[enumeration]") {
  check_lossless("SJD quantile equality", 600, NoNoise{}, QuantileCoupling{}, QuantileEquality{});
  check_lossless("SJD quantile equality, fresh drafts", 620, NoNoise{}, FreshRedraw{},
                 QuantileEquality{});
}

}  // namespace sjd::test
