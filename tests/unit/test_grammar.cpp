// SPDX-License-Identifier: Apache-2.0
// Forced end-of-row tokens: several rows of a picture in one window, exact, and free of charge.
#include "support/compositions.hpp"
#include "support/instances.hpp"

namespace sjd::test {
namespace {

constexpr TokenId row_end = 2;

template <class... Policies>
Tally enumerate_rows(const std::string& name, std::int64_t columns, Policies... policies) {
  const RowEndGrammar grammar{.columns = columns, .row_end = row_end};
  using Decoder = SpeculativeJacobiDenoiser<TableHost, FixedWindow, EnumeratingRandom,
                                            RowEndGrammar, Policies...>;
  static_assert(Decoder::is_lossless);
  Tally tally{name};
  for (const Instance& instance :
       {Instance{3, 5, 4, 0, false, 1}, Instance{3, 6, 5, 0, true, 2},
        Instance{4, 5, 3, 2, false, 3}, Instance{4, 4, 6, 0, false, 4}}) {
    TableHost host{{.vocab = instance.vocab,
                    .seed = instance.seed + 60,
                    .posterior_mean = Decoder::NoiseFeed::posterior_mean}};
    Enumeration all;
    Decoder decoder{host, FixedWindow{.tokens = instance.window}, EnumeratingRandom{&all}, grammar,
                    policies...};
    const auto request = request_of(instance);
    tally.add(enumerate_decoder(decoder, all, request),
              autoregressive_joint(host.law(), request, false, grammar));
  }
  tally.print();
  return tally;
}

}  // namespace

TEST_CASE("row ends are exact, enumerated") {
  for (const std::int64_t columns : {1, 2}) {
    const std::string rows = ", rows of " + std::to_string(columns);
    CHECK(enumerate_rows("SJD fresh" + rows, columns, NoNoise{}, FreshRedraw{}).worst <= 1e-12L);
    CHECK(
        enumerate_rows("SJD coupled, repeat left" + rows, columns, NoNoise{}, RepeatLeft{}).worst <=
        1e-12L);
    CHECK(enumerate_rows("SJD quantile" + rows, columns, NoNoise{}, QuantileCoupling{},
                         QuantileEquality{})
              .worst <= 1e-12L);
    CHECK(enumerate_rows("SJD2 coupled" + rows, columns, table_schedule()).worst <= 1e-12L);
    CHECK(enumerate_rows("SJD2 fresh, raw" + rows, columns, table_schedule(1), FreshRedraw{},
                         RawNoise{})
              .worst <= 1e-12L);
  }
}

TEST_CASE("every picture has its row ends, and no other, for every composition") {
  for_each_composition([](const auto& c) {
    INFO(c.name);
    for (const std::int64_t window : {1, 4, 30}) {
      TableHost host{options_for(c, {.vocab = 6, .dim = 2, .seed = 8})};
      std::apply(
          [&](const auto&... policy) {
            SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = window},
                                              RowEndGrammar{.columns = 4, .row_end = 5}, policy...};
            const auto picture = decoder.generate({.tokens = 40, .seed = 6});
            for (std::size_t i = 0; i < picture.tokens.size(); ++i) {
              CHECK((picture.tokens[i] == 5) == (i % 5 == 4));
            }
          },
          c.policies);
    }
  });
}

TEST_CASE("shared noise equals AR across row ends") {
  const RowEndGrammar grammar{.columns = 3, .row_end = 1};
  const Request request{.tokens = 50, .seed = 4, .guidance = {1.5F}};
  TableHost plain_host{{.vocab = 6, .dim = 2, .seed = 8}};
  const auto expected = PlainAr{plain_host, GumbelEquality{}, grammar}.generate(request);
  for (const std::int64_t window : {1, 2, 9, 60}) {
    TableHost host{{.vocab = 6, .dim = 2, .seed = 8, .posterior_mean = true}};
    SpeculativeJacobiDenoiser sjd2{host,
                                   FixedWindow{.tokens = window},
                                   GumbelEquality{},
                                   GumbelCoupling{},
                                   grammar,
                                   table_schedule()};
    CHECK(sjd2.generate(request).tokens == expected.tokens);
    SpeculativeJacobiDenoiser sjd{
        host,     FixedWindow{.tokens = window}, GumbelEquality{}, GumbelCoupling{}, grammar,
        NoNoise{}};
    CHECK(sjd.generate(request).tokens == expected.tokens);
  }
}

TEST_CASE("a row end never costs a pass of its own") {
  const RowEndGrammar grammar{.columns = 3, .row_end = 5};
  const std::int64_t total = 79;  // ends with a code
  const auto check = [&](auto& decoder) {
    std::int64_t ends = 0;
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      static_cast<void>(decoder.generate({.tokens = total, .seed = seed}, [&](const auto& event) {
        const std::int64_t last = event.state.committed();
        std::int64_t codes = 0;
        for (Position p = last - event.committed; p < last; ++p) {
          (grammar.forced(p) < 0 ? codes : ends) += 1;
        }
        CHECK(codes >= 1);
        // Forced drafts wait clean, with a law that cannot reject them.
        for (std::size_t i = 0; i < event.state.window.size(); ++i) {
          if (grammar.forced(last + static_cast<Position>(i)) < 0) continue;
          CHECK(event.state.window[i].law == TokenLaw::point(5));
          CHECK(event.state.window[i].level == 0);
        }
        return true;
      }));
    }
    CHECK(ends == 10 * (total / 4));
  };
  for (const std::int64_t window : {2, 5, 12}) {
    TableHost host{{.vocab = 6, .dim = 2, .seed = 8, .posterior_mean = true}};
    SpeculativeJacobiDenoiser sjd{host, FixedWindow{.tokens = window}, NoNoise{}, grammar};
    check(sjd);
    SpeculativeJacobiDenoiser sjd2{host, FixedWindow{.tokens = window}, table_schedule(3), grammar};
    check(sjd2);
  }
}

TEST_CASE("a grammar that does not fit the vocabulary is refused") {
  TableHost host{{.vocab = 4}};
  const auto code_of = [&](const RowEndGrammar& grammar) {
    try {
      PlainAr decoder{host, grammar};
      static_cast<void>(decoder.generate(Request{.tokens = 6}));
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::io;
  };
  CHECK(code_of({.columns = 2, .row_end = 4}) == ErrorCode::invalid_argument);
  CHECK(code_of({.columns = 2, .row_end = -1}) == ErrorCode::invalid_argument);
  CHECK(code_of({.columns = 0, .row_end = 1}) == ErrorCode::invalid_argument);
}

}  // namespace sjd::test
