// SPDX-License-Identifier: Apache-2.0
// Samplers over large vocabularies, with the production gate: no token outside the support, ever,
// and an e-process over bins against a law that was computed without the library.
#include <cmath>
#include <cstdlib>

#include "samplers/large_laws.hpp"
#include "sjd/cpu/rows.hpp"
#include "sjd/policies/acceptance.hpp"
#include "sjd/policies/refinement.hpp"
#include "support/catch.hpp"
#include "support/layer_line.hpp"

namespace sjd::test {
namespace {

/// Every way in which the library draws a token from a law.
enum class Way : std::uint8_t { categorical, quantile, gumbel, ratio_test, coupling };
constexpr std::array all_ways{Way::categorical, Way::quantile, Way::gumbel, Way::ratio_test,
                              Way::coupling};

std::string name_of(Way way) {
  constexpr std::array names{"categorical", "quantile", "Gumbel race", "ratio test + residual",
                             "maximal coupling"};
  return names[static_cast<std::size_t>(way)];
}

/// Filters, by number; the last one is a grammar.
constexpr std::int64_t filters = 5;
struct Filter {
  SamplingOptions options{};
  std::int64_t forbidden = -1;
};
Filter filter_of(std::int64_t number) {
  switch (number) {
    case 1:
      return {{.top_k = 50}};
    case 2:
      return {{.temperature = 0.8F, .top_p = 0.9F}};
    case 3:
      return {{.temperature = 1.25F, .top_k = 100, .top_p = 0.75F}};
    case 4:
      return {{.top_k = 20}, 0};
    default:
      return {};
  }
}

/// What some draws came to.
struct Outcome {
  std::int64_t laws = 0;
  std::int64_t draws = 0;
  std::int64_t outside = 0;  ///< draws outside the support
  double log_e = -INFINITY;  ///< the worst of all laws

  void add(const Outcome& other) {
    laws += other.laws;
    draws += other.draws;
    outside += other.outside;
    log_e = std::max(log_e, other.log_e);
  }
  void print(const std::string& what) const {
    print_layer("L5", what,
                std::to_string(laws) + " laws, " + std::to_string(draws) + " draws, " +
                    std::to_string(outside) + " outside the support",
                outside > 0         ? "outside the support"
                : std::isinf(log_e) ? "one token each"
                                    : "log E " + number_text(log_e, 4));
  }
  [[nodiscard]] bool good() const { return outside == 0 && log_e < EProcess::decisive; }
};

/// The law that the library builds from logits.
TokenLaw law_of_logits(const std::vector<float>& logits, const Filter& filter) {
  cpu::RowPipeline pipeline;
  TokenLaw law;
  const MatrixView<const float> row{logits.data(), 1, static_cast<std::int64_t>(logits.size())};
  if (filter.forbidden >= 0) {
    const RowEndGrammar grammar{.columns = 7, .row_end = static_cast<TokenId>(filter.forbidden)};
    pipeline.law(row, {}, grammar, filter.options, 0, 0, law);
  } else {
    pipeline.law(row, {}, NoGrammar{}, filter.options, 0, 0, law);
  }
  return law;
}

/// Draw number i of a way; the two ways with a draft begin with one of `draft`.
TokenId draw(Way way, const PhiloxGate& gate, std::int64_t i, const TokenLaw& target,
             const TokenLaw& draft, Slot& scratch) {
  if (way == Way::categorical) return gate.categorical({i, 0, Purpose::target}, target);
  if (way == Way::quantile) return gate.quantile(i, target);
  if (way == Way::gumbel) return gate.gumbel(i, target);
  scratch.token = gate.categorical({i, 0, Purpose::entry}, draft);
  scratch.law = draft;
  const DrawKey key{i, 1};
  if (way == Way::coupling) {
    MaximalCoupling{}.refresh(gate, key, scratch, target);
    return scratch.token;
  }
  const SpeculativeAcceptance rule;
  return rule.accept(gate, key, scratch, target) ? scratch.token
                                                 : rule.recover(gate, key, scratch, target);
}

/// One row of logits, one filter, one way: draws of `law` against what the oracle says of it.
Outcome run(Way way, const Oracle& oracle, const TokenLaw& law, const TokenLaw& draft,
            std::int64_t draws, std::uint64_t seed) {
  const Binning binning{oracle, seed};
  EProcess process = binning.process();
  const PhiloxGate gate{seed, 1};
  Slot scratch;
  Outcome outcome{.laws = 1, .draws = draws};
  for (std::int64_t i = 0; i < draws; ++i) {
    const TokenId token = draw(way, gate, i, law, draft, scratch);
    const bool inside = token >= 0 && static_cast<std::size_t>(token) < oracle.law.size() &&
                        oracle.law[static_cast<std::size_t>(token)] > 0.0 && law.mass(token) > 0;
    if (inside) {
      process.add(binning.cell(token));
    } else {
      outcome.outside += 1;
    }
  }
  // One token alone gives no evidence.
  if (oracle.ranked.size() > 1) outcome.log_e = process.log_e();
  return outcome;
}

/// The library's law has the oracle's support, but for tokens under 2^-31 of the mode.
void check_support(const Oracle& oracle, const TokenLaw& law) {
  std::int64_t outside = 0;
  std::int64_t missing = 0;
  for (std::int64_t i = 0; i < law.size(); ++i) {
    outside += oracle.law[static_cast<std::size_t>(law.token(i))] > 0.0 ? 0 : 1;
  }
  const double smallest = oracle.law[oracle.ranked.front()] * std::exp2(-31.0);
  for (const std::size_t v : oracle.ranked) {
    missing += oracle.law[v] > smallest && law.mass(static_cast<TokenId>(v)) == 0 ? 1 : 0;
  }
  CHECK(outside == 0);
  CHECK(missing == 0);
}

/// One shape of one vocabulary: all filters with one way, all ways with one filter.
Outcome run_shape(Shape shape, std::size_t vocab, std::int64_t steps) {
  const std::uint64_t seed = 100 * vocab + static_cast<std::uint64_t>(shape);
  const std::vector<float> logits = logits_of(shape, vocab, seed);
  const TokenLaw draft = seed % 2 == 0
                             ? TokenLaw::uniform(static_cast<std::int64_t>(vocab))
                             : law_of_logits(logits_of(Shape::gumbel, vocab, seed + 1), {});
  Outcome all;
  for (std::int64_t number = 0; number < filters; ++number) {
    const Filter filter = filter_of(number);
    if (filter.forbidden >= 0 && vocab < 3) continue;
    const Oracle oracle = oracle_of(logits, filter.options, filter.forbidden);
    const TokenLaw law = law_of_logits(logits, filter);
    check_support(oracle, law);
    for (const Way way : all_ways) {
      const auto rotated = static_cast<std::int64_t>(shape) % filters;
      if (way != Way::categorical && number != rotated) continue;
      const std::int64_t walked =
          way == Way::ratio_test || way == Way::coupling ? law.size() + draft.size() : law.size();
      const std::int64_t draws = std::clamp<std::int64_t>(steps / walked, 50, 20'000);
      all.add(run(way, oracle, law, draft, draws, seed + static_cast<std::uint64_t>(number)));
    }
  }
  return all;
}

std::int64_t times() {
  return std::getenv("SJD_TESTS_FULL") == nullptr ? 1 : 100;
}

}  // namespace

TEST_CASE("no token outside the support, at any size, shape, filter and way") {
  Outcome total;
  for (const std::size_t vocab :
       {1U, 2U, 31U, 32U, 33U, 1023U, 1024U, 1025U, 8192U, 16384U, 65536U, 151936U}) {
    Outcome all;
    for (const Shape shape : all_shapes) all.add(run_shape(shape, vocab, 4'000'000));
    all.print("V " + std::to_string(vocab));
    CHECK(all.good());
    total.add(all);
  }
  total.print("all sizes");
}

TEST_CASE("every way of drawing follows its law at a vocabulary of 16384") {
  constexpr std::size_t vocab = 16384;
  const TokenLaw draft = law_of_logits(logits_of(Shape::gumbel, vocab, 5), {});
  for (const Way way : all_ways) {
    Outcome all;
    for (const Shape shape : {Shape::zipf, Shape::half_tail}) {
      const std::vector<float> logits = logits_of(shape, vocab, 6);
      const std::int64_t draws = (way == Way::categorical ? 100'000 : 10'000) * times();
      all.add(run(way, oracle_of(logits, {}, -1), law_of_logits(logits, {}), draft, draws, 7));
    }
    all.print("V 16384, " + name_of(way));
    CHECK(all.good());
  }
}

TEST_CASE("samplers that are a little wrong are caught") {
  constexpr std::size_t vocab = 16384;
  const auto control = [&](const std::string& what, Shape shape, const Filter& right,
                           const Filter& wrong, std::int64_t draws) {
    const std::vector<float> logits = logits_of(shape, vocab, 8);
    const Outcome outcome = run(Way::categorical, oracle_of(logits, right.options, right.forbidden),
                                law_of_logits(logits, wrong), {}, draws, 9);
    outcome.print("control: " + what);
    return outcome;
  };
  CHECK(
      control("tail of half the mass dropped", Shape::half_tail, {}, {{.top_k = 1}}, 2'000).log_e >=
      EProcess::decisive);
  CHECK(control("temperature 1.3 for 1", Shape::gumbel, {}, {{.temperature = 1.3F}}, 5'000).log_e >=
        EProcess::decisive);
  CHECK(control("top-k keeps one more", Shape::zipf, {{.top_k = 50}}, {{.top_k = 51}}, 5'000)
            .outside > 0);
  CHECK(control("top-k keeps all ties", Shape::ties, {{.top_k = 50}}, {{.top_k = 100}}, 5'000)
            .outside > 0);
  CHECK(control("top-p keeps more", Shape::flat, {{.top_p = 0.5F}}, {{.top_p = 0.501F}}, 100'000)
            .outside > 0);
  CHECK(control("grammar forgotten", Shape::flat, {{.top_k = 20}, 0}, {{.top_k = 20}}, 5'000)
            .outside > 0);
}

TEST_CASE("forced positions have one token whatever the logits say") {
  const std::vector<float> logits = logits_of(Shape::zipf, 16384, 3);
  const RowEndGrammar grammar{.columns = 7, .row_end = 16383};
  cpu::RowPipeline pipeline;
  TokenLaw law;
  pipeline.law({logits.data(), 1, 16384}, {}, grammar, {}, 0, 7, law);
  CHECK(law == TokenLaw::point(16383));
}

}  // namespace sjd::test
