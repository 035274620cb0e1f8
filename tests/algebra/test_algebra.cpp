// SPDX-License-Identifier: Apache-2.0
// The algebra behind every lossless criterion, in exact integers and without a single draw: for
// every token, drafts that stay and tokens that are redrawn add up to the target.
#include <algorithm>
#include <cstdlib>

#include "sjd/policies/acceptance.hpp"
#include "sjd/policies/refinement.hpp"
#include "support/catch.hpp"
#include "support/law_algebra.hpp"
#include "support/layer_line.hpp"
#include "support/wrong_rules.hpp"

namespace sjd::test {
namespace {

/// Calls check(pair, algebra) on arbitrary and filtered pairs of one vocabulary until about
/// `elements` tokens were added up.
template <class Check>
Algebra run(std::size_t vocab, std::int64_t elements, Check&& check) {
  Algebra algebra;
  for (std::uint64_t round = 0; algebra.elements < elements; ++round) {
    const std::uint64_t seed = mix(1'000 * vocab + round);
    for (const auto& pairs : {random_pairs(seed, vocab, 8), filtered_pairs(seed, vocab, 4)}) {
      for (const LawPair& pair : pairs) check(pair, algebra);
    }
  }
  return algebra;
}

/// Runs `check` on adversarial pairs and on every vocabulary; prints one line.
template <class Check>
Algebra run_all(const std::string& what, const std::vector<std::size_t>& vocabs,
                std::int64_t elements, Check&& check) {
  Algebra all;
  for (const LawPair& pair : adversarial_pairs()) check(pair, all);
  for (const std::size_t vocab : vocabs) {
    const auto share = elements / static_cast<std::int64_t>(vocabs.size());
    const Algebra one = run(vocab, share, check);
    all.elements += one.elements;
    all.wrong += one.wrong;
    all.rounded += one.rounded;
  }
  print_layer("L1", what, std::to_string(all.elements) + " elements",
              std::to_string(all.wrong) + " wrong");
  return all;
}

/// One in a hundred of the long run's elements.
std::int64_t elements(std::int64_t normal) {
  return std::getenv("SJD_TESTS_FULL") == nullptr ? normal : 100 * normal;
}

constexpr auto accept = []<class Rule>(Rule) {
  return [](const LawPair& pair, Algebra& algebra) { check_acceptance<Rule>(pair, algebra); };
};
constexpr auto couple = []<class Rule>(Rule) {
  return [](const LawPair& pair, Algebra& algebra) { check_coupling<Rule>(pair, algebra); };
};

}  // namespace

TEST_CASE("acceptance and residual add up to the target") {
  CHECK(run_all("acceptance + residual = target, V 2..65536",
                {2, 3, 4, 5, 16, 64, 257, 1025, 8192, 65536}, elements(90'000'000),
                accept(SpeculativeAcceptance{}))
            .exact());
}

TEST_CASE("the marginal of a maximal coupling is the target") {
  // Every draft copies a law, which makes large vocabularies slow here.
  CHECK(run_all("marginal of the coupling = target, V 2..64", {2, 3, 4, 5, 16, 64},
                elements(10'000'000), couple(MaximalCoupling{}))
            .exact());
}

TEST_CASE("wrong rules do not add up") {
  const std::vector<std::size_t> vocabs{2, 3, 4, 16};
  CHECK(run_all("control: accept all", vocabs, 10'000, accept(AcceptAll{})).wrong > 0);
  CHECK(run_all("control: ratio x 1.02", vocabs, 10'000, accept(GenerousRatio{})).wrong > 0);
  CHECK(
      run_all("control: target instead of residual", vocabs, 10'000, accept(TargetRedraw{})).wrong >
      0);
  CHECK(run_all("control: stale law", vocabs, 10'000, couple(StaleLawCoupling{})).wrong > 0);
  CHECK(run_all("control: keep if confident", vocabs, 10'000, couple(ConfidentKeep{})).wrong > 0);
}

}  // namespace sjd::test
