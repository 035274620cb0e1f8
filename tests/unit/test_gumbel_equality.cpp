// SPDX-License-Identifier: Apache-2.0
// GumbelEquality gives the tokens of plain AR with the same sampler, one by one, whatever the
// window, schedule, initialisation or batch; a window of one row gives plain AR's tokens always.
#include "support/compositions.hpp"

namespace sjd::test {
namespace {

std::vector<std::vector<TokenId>> tokens_of(const std::vector<GenerationResult>& results) {
  std::vector<std::vector<TokenId>> tokens;
  for (const GenerationResult& r : results) tokens.push_back(r.tokens);
  return tokens;
}

template <SharedNoise Noise, class... Policies>
void check_path(const std::string& name, const Policies&... policies) {
  using Equality = SharedNoiseEquality<Noise>;
  for (const std::int32_t sequences : {1, 3, 8}) {
    const auto requests = mixed_requests(11);
    TableOptions options{.vocab = 7, .dim = 3, .seed = 6, .sequences = sequences};
    TableHost plain_host{options};
    const auto expected = tokens_of(PlainAr{plain_host, Equality{}}.generate(requests));
    options.posterior_mean =
        SpeculativeJacobiDenoiser<TableHost, Policies...>::NoiseFeed::posterior_mean;
    for (const std::int64_t window : {1, 2, 4, 16, 64}) {
      INFO(name << ", window " << window << ", batch " << sequences);
      TableHost host{options};
      SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = window}, Equality{},
                                        policies...};
      CHECK(tokens_of(decoder.generate(requests)) == expected);
    }
  }
}

}  // namespace

TEST_CASE("shared noise without denoising equals AR") {
  constexpr auto gumbel = SharedNoise::gumbel;
  check_path<gumbel>("coupled", NoNoise{}, GumbelCoupling{});
  check_path<gumbel>("coupled, repeat left", NoNoise{}, GumbelCoupling{}, RepeatLeft{});
  check_path<gumbel>("fresh drafts", NoNoise{}, FreshRedraw{});
  check_path<gumbel>("maximally coupled drafts", NoNoise{}, MaximalCoupling{});
  check_path<SharedNoise::quantile>("quantile", NoNoise{}, QuantileCoupling{});
}

TEST_CASE("shared noise with denoising equals AR for every schedule") {
  constexpr auto gumbel = SharedNoise::gumbel;
  for (const std::int32_t levels : {1, 2, 3, 5}) {
    for (const LevelDescent descent : {LevelDescent::by_age, LevelDescent::by_deadline}) {
      const KarrasSchedule schedule = table_schedule(levels, descent);
      check_path<gumbel>("mean", schedule, GumbelCoupling{});
      check_path<gumbel>("raw, fresh estimates", schedule, FreshRedraw{}, RawNoise{});
      check_path<SharedNoise::quantile>("quantile, mean", schedule, QuantileCoupling{});
    }
  }
}

TEST_CASE("a greedy decode finds AR's greedy picture") {
  const auto requests = mixed_requests(7);
  TableHost plain_host{{.vocab = 7, .seed = 6, .sequences = 4}};
  const auto expected = tokens_of(PlainAr{plain_host, GreedyEquality{}}.generate(requests));
  for (const std::int64_t window : {1, 5, 32}) {
    TableHost host{{.vocab = 7, .seed = 6, .sequences = 4}};
    JacobiGreedy<TableHost> decoder{host, FixedWindow{.tokens = window}};
    CHECK(tokens_of(decoder.generate(requests)) == expected);
  }
}

TEST_CASE("one row a pass is plain AR, bit for bit") {
  const auto requests = mixed_requests(9);
  TableHost plain_host{{.vocab = 7, .seed = 8, .sequences = 2}};
  const auto expected = PlainAr{plain_host}.generate(requests);
  TableHost host{{.vocab = 7, .seed = 8, .sequences = 2, .posterior_mean = true}};
  SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = 1}, table_schedule()};
  const auto found = decoder.generate(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    CHECK(found[i].tokens == expected[i].tokens);
    CHECK(found[i].statistics == expected[i].statistics);
  }
  CHECK(host.rows_run == plain_host.rows_run);
}

TEST_CASE("the equality of paths is not a triviality") {
  // With the ratio test the tokens differ from AR's, though their law does not.
  const auto requests = mixed_requests(6);
  TableHost host{{.vocab = 7, .seed = 6}};
  const auto plain = tokens_of(PlainAr{host}.generate(requests));
  CHECK(tokens_of(Sjd<TableHost>{host}.generate(requests)) != plain);
}

}  // namespace sjd::test
