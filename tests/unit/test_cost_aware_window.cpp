// SPDX-License-Identifier: Apache-2.0
// The window that weighs tokens against cost: what it picks, what it learns, and what it may lose.
#include <algorithm>
#include <limits>

#include "sjd/methods.hpp"
#include "support/compositions.hpp"
#include "support/latency_host.hpp"

namespace sjd::test {
namespace {

constexpr std::int64_t tokens = 256;

/// Logits this close make drafts agree, this far make them useless.
constexpr float easy = 0.3F;
constexpr float hard = 6.0F;

DecodeStatistics statistics_of(std::int64_t passes, std::vector<std::int64_t> judged,
                               std::vector<std::int64_t> accepted) {
  DecodeStatistics s;
  s.forward_passes = passes;
  s.judged_by_slot = std::move(judged);
  s.accepted_by_slot = std::move(accepted);
  s.passes_by_rows = {passes};
  return s;
}

std::int64_t first_rows(const WindowCosts& known) {
  return CostAwareWindow{known}.rows({1, tokens, 0, DecodeStatistics{}});
}

struct Spent {
  double cost = 0.0;
  double plain = 0.0;  ///< what PlainAr spends on the same request
  std::int64_t passes = 0;
  [[nodiscard]] double ratio() const { return cost / plain; }
};

template <class Window>
Spent spend(const CostShape& shape, float spread, const Request& request, const Window& window) {
  LatencyHost host{{.vocab = 8, .seed = 21, .spread = spread}, shape};
  SpeculativeJacobiDenoiser denoiser{host, window, NoNoise{}};
  const auto picture = denoiser.generate(request);
  CHECK(static_cast<std::int64_t>(picture.tokens.size()) == request.tokens);
  Spent spent{.cost = host.spent, .passes = picture.statistics.forward_passes};
  host.spent = 0.0;
  PlainAr plain{host};
  static_cast<void>(plain.generate(request));
  spent.plain = host.spent;
  return spent;
}

/// Eight rows for three passes, three from then on.
struct ClosingWindow {
  using role = role::window;

  [[nodiscard]] std::int64_t rows(const WindowHistory& history) const {
    const std::int64_t wanted = history.statistics.forward_passes < 3 ? 8 : 3;
    return std::min(wanted, history.total - history.committed);
  }
  [[nodiscard]] std::int64_t capacity() const { return 8; }
};

std::vector<std::vector<double>> priors() {
  return {even_survival(0.8), even_survival(0.999), even_survival(0.01), {}, {0.0}};
}

Request request_of(std::size_t branches, std::uint64_t seed) {
  Request request{.prompt = {{3, seed}}, .tokens = tokens, .seed = seed};
  if (branches == 2) request.guidance = {1.5F};
  return request;
}

}  // namespace

TEST_CASE("the first window is wide where rows are free and one row where each costs a pass") {
  const auto known = [](std::size_t shape, double share) {
    return WindowCosts{.costs = cost_table(cost_shapes()[shape]), .survival = even_survival(share)};
  };
  CHECK(first_rows(known(0, 0.9)) == 64);
  CHECK(first_rows(known(0, 0.2)) >= 6);  // slots behind these add less than 2^-16 tokens
  CHECK(first_rows(known(1, 0.2)) == 1);
  CHECK(first_rows(known(1, 0.99)) == 1);
  CHECK(first_rows(known(2, 0.5)) == 16);
  CHECK(first_rows(WindowCosts{}) == 1);
}

TEST_CASE("expected tokens are those of slots that had their passes") {
  // Two rows: the slot may be accepted every second pass at most, so E = 1 + s / (1 + s).
  for (const double s : {0.25, 0.5, 0.9}) {
    const double even = 1.0 + s / (1.0 + s);
    const auto rows_at = [&](double cost) {
      return first_rows({.costs = {{1, 1.0}, {2, cost}}, .survival = {s}, .most_loss = 100.0});
    };
    CHECK(rows_at(even * 0.999) == 2);
    // Passes 0 .. 3 try what nothing rules out, so ask a later one.
    const auto later = [&](double cost) {
      return CostAwareWindow{{.costs = {{1, 1.0}, {2, cost}}, .survival = {s}, .most_loss = 100.0}}
          .rows({9, tokens, 1, statistics_of(8, {}, {})});
    };
    CHECK(later(even * 0.999) == 2);
    CHECK(later(even * 1.001) == 1);
  }
  // With two levels a slot of two rows never has its passes.
  CHECK(first_rows({.costs = {{1, 1.0}, {2, 1.001}}, .survival = {0.9}, .warm_up = 2}) == 1);
}

TEST_CASE("own counts overrule the table within a fraction of a picture") {
  const WindowCosts hopeful{
      .costs = cost_table(cost_shapes()[3]), .survival = even_survival(0.97), .most_loss = 100.0};
  const CostAwareWindow window{hopeful};
  const auto rows = [&](std::int64_t n, std::int64_t accepted) {
    return window.rows({n, tokens, 0, statistics_of(n + 20, {n, accepted}, {accepted})});
  };
  CHECK(rows(2, 2) > 16);
  CHECK(rows(20, 2) <= 4);
  WindowCosts gloomy = hopeful;
  gloomy.survival = even_survival(0.02);
  const CostAwareWindow low{gloomy};
  const std::vector<std::int64_t> few{12, 11, 10, 9};
  const std::vector<std::int64_t> all{11, 10, 9, 8};
  CHECK(low.rows({20, tokens, 0, statistics_of(24, {}, {})}) == 1);
  CHECK(low.rows({20, tokens, 0, statistics_of(24, few, all)}) >= 6);
}

TEST_CASE("a plan keeps its width unless another one is clearly better") {
  const CostAwareWindow window{
      {.costs = cost_table(cost_shapes()[3]), .survival = even_survival(0.8), .most_loss = 100.0}};
  const DecodeStatistics none = statistics_of(20, {}, {});
  const std::int64_t best = window.rows({30, tokens, 0, none});
  CHECK(best > 4);
  CHECK(window.rows({30, tokens, best + 1, none}) == best + 1);
  CHECK(window.rows({30, tokens, 64, none}) == best);
  CHECK(window.rows({tokens - 3, tokens, best, none}) == 3);
  CHECK(window.rows({tokens, tokens, best, none}) == 0);
}

TEST_CASE("cost never exceeds plain AR's by 3 %, whatever the acceptance and the table") {
  double worst = 0.0;
  for (const CostShape& shape : cost_shapes()) {
    for (const float spread : {easy, 2.0F, hard}) {
      for (const std::size_t branches : {std::size_t{1}, std::size_t{2}}) {
        for (const std::vector<double>& prior : priors()) {
          const WindowCosts known{.costs = cost_table(shape, static_cast<std::int64_t>(branches)),
                                  .survival = prior};
          const Spent spent = spend(shape, spread, request_of(branches, 5), CostAwareWindow{known});
          INFO(shape.name << ", spread " << spread << ", branches " << branches);
          CHECK(spent.ratio() <= 1.03);
          worst = std::max(worst, spent.ratio());
        }
      }
    }
  }
  INFO("worst " << worst);
  CHECK(worst > 1.0);  // the allowance is used somewhere, so the bound above is tested
  CHECK(spend(cost_shapes()[1], hard, request_of(1, 5), FixedWindow{.tokens = 8}).ratio() > 2.0);
}

TEST_CASE("where windows pay, the window is found from any table") {
  const CostShape affine = cost_shapes()[3];
  double best = 1e9;
  for (const std::int64_t w : {2, 4, 8, 12, 16, 24, 32, 48}) {
    best = std::min(best, spend(affine, easy, request_of(1, 5), FixedWindow{.tokens = w}).cost);
  }
  for (const std::vector<double>& prior : priors()) {
    const WindowCosts known{.costs = cost_table(affine), .survival = prior};
    const Spent found = spend(affine, easy, request_of(1, 5), CostAwareWindow{known});
    INFO("best fixed " << best << ", found " << found.cost << ", AR " << found.plain);
    CHECK(found.cost <= 1.35 * best);
    CHECK(found.ratio() < 0.6);
  }
  // Flat cost: wide windows from the first pass on.
  const CostShape flat = cost_shapes()[0];
  const Spent wide = spend(flat, easy, request_of(1, 5), FixedWindow{.tokens = 64});
  const WindowCosts known{.costs = cost_table(flat), .survival = even_survival(0.01)};
  CHECK(spend(flat, easy, request_of(1, 5), CostAwareWindow{known}).cost <= 1.05 * wide.cost);
}

TEST_CASE("counts that no picture has do not overflow") {
  // As a forged state may hold them: nothing is known of slot 1, all other drafts were rejected.
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const CostAwareWindow window{{.costs = {{1, 1.0}, {4096, 2.0}}, .survival = {0.9}}};
  std::vector<std::int64_t> judged(4095, most);
  judged[0] = 0;
  const std::vector<std::int64_t> accepted(4095, 0);
  CHECK(window.rows({20, 5000, 0, statistics_of(24, judged, accepted)}) == 1);
}

TEST_CASE("tables outside their ranges are refused by name") {
  const auto refused = [](const WindowCosts& known, const std::string& text) {
    try {
      static_cast<void>(CostAwareWindow{known});
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_argument);
      CHECK(std::string{error.what()}.find(text) != std::string::npos);
      return;
    }
    FAIL("accepted: " << text);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  refused({.costs = {}}, "begin at 1 row");
  refused({.costs = {{2, 1.0}}}, "begin at 1 row");
  refused({.costs = {{1, 1.0}, {5000, 1.0}}}, "4096");
  refused({.costs = {{1, 1.0}, {4, 2.0}, {4, 2.0}}}, "must ascend");
  refused({.costs = {{1, 1.0}, {2, nan}}}, "a cost must be");
  refused({.costs = {{1, 0.0}}}, "a cost must be");
  refused({.costs = {{1, 1.0}, {2, 2e4}}}, "a cost must be");
  refused({.survival = {0.5, 0.6}}, "survival");
  refused({.survival = {nan}}, "survival");
  refused({.warm_up = 0}, "warm_up");
  refused({.most_loss = -0.1}, "most_loss");
}

TEST_CASE("a window that shrinks and grows draws the same tokens for any batch") {
  for_each_composition([](const auto& c) {
    INFO(c.name);
    const std::vector<Request> requests = mixed_requests(9);
    std::vector<std::vector<TokenId>> alone;
    std::int64_t widths = 0;
    for (const std::int32_t sequences : {1, 2, 5}) {
      TableHost host{options_for(c, {.vocab = 6, .dim = 2, .seed = 12, .sequences = sequences})};
      std::apply(
          [&](const auto&... policy) {
            SpeculativeJacobiDenoiser decoder{host, moody_window(9), policy...};
            const auto results = decoder.generate(requests);
            for (std::size_t i = 0; i < results.size(); ++i) {
              if (sequences == 1) alone.push_back(results[i].tokens);
              CHECK(results[i].tokens == alone[i]);
              for (const std::int64_t n : results[i].statistics.passes_by_rows) widths += n > 0;
            }
          },
          c.policies);
    }
    CHECK(widths > 3 * 9 * 2);
  });
}

TEST_CASE("a state goes on under the plan of another decoder") {
  TableHost host{{.vocab = 6, .dim = 2, .seed = 12, .posterior_mean = true}};
  SpeculativeJacobiDenoiser wide{host, FixedWindow{.tokens = 9}, table_schedule()};
  SpeculativeJacobiDenoiser narrow{host, FixedWindow{.tokens = 3}, table_schedule()};
  DecoderState state = wide.start(0, {.tokens = 40, .seed = 2});
  wide.step({&state, 1});
  narrow.step({&state, 1});
  CHECK(state.window.size() == 2);
  while (!state.finished()) narrow.step({&state, 1});
}

TEST_CASE("a narrower window keeps its slots from the left") {
  TableHost host{{.vocab = 6, .dim = 2, .seed = 12, .posterior_mean = true}};
  SpeculativeJacobiDenoiser wide{host, FixedWindow{.tokens = 8}, table_schedule()};
  SpeculativeJacobiDenoiser closing{host, ClosingWindow{}, table_schedule()};
  for (const Request& request : mixed_requests(6)) {
    DecoderState a = wide.start(0, request);
    DecoderState b = a;
    for (int pass = 0; pass < 3 && !a.finished(); ++pass) {
      const std::vector<TableCache> cache = host.caches[0];
      wide.step({&a, 1});
      host.caches[0] = cache;
      closing.step({&b, 1});
    }
    CHECK(a.tokens == b.tokens);
    const std::size_t kept = std::min<std::size_t>(a.window.size(), 2);
    CHECK(b.window == std::vector<Slot>(a.window.begin(),
                                        a.window.begin() + static_cast<std::ptrdiff_t>(kept)));
  }
}

TEST_CASE("noise fixed per position gives AR's tokens under a window that moves") {
  TableHost host{{.vocab = 9, .dim = 2, .seed = 3, .posterior_mean = true}};
  PlainAr plain{host, GumbelEquality{}};
  SpeculativeJacobiDenoiser clean{host, moody_window(12), NoNoise{}, GumbelEquality{},
                                  GumbelCoupling{}};
  SpeculativeJacobiDenoiser noisy{host, moody_window(12, 2), table_schedule(), GumbelEquality{},
                                  GumbelCoupling{}};
  for (const Request& request : mixed_requests(7)) {
    const auto expected = plain.generate(request).tokens;
    CHECK(clean.generate(request).tokens == expected);
    CHECK(noisy.generate(request).tokens == expected);
  }
}

TEST_CASE("a frozen window takes the best rows of its tables and nothing else into account") {
  const auto frozen = [](double tokens_lost) {
    return CostAwareWindow{{.costs = {{1, 1.0}, {2, 1.2}, {4, 1.5}, {8, 4.0}},
                            .survival = {0.9, 0.9 - tokens_lost, 0.7 - tokens_lost},
                            .frozen = true}};
  };
  // Four rows: 2.7 tokens for 1.5; eight at most 4.1 for 4; with worse drafts two rows or one.
  DecodeStatistics hopeless = statistics_of(40, {40, 40, 40}, {0, 0, 0});
  for (const DecodeStatistics& seen : {DecodeStatistics{}, hopeless}) {
    CHECK(frozen(0.0).rows({1, tokens, 0, seen}) == 4);
    CHECK(frozen(0.0).rows({tokens - 3, tokens, 4, seen}) == 3);
  }
  const CostAwareWindow closed{{.costs = {{1, 1.0}, {8, 8.0}}, .survival = {0.5}, .frozen = true}};
  CHECK(closed.rows({1, tokens, 0, DecodeStatistics{}}) == 1);
  CHECK(CostAwareWindow{closed.given()}.fingerprint() == closed.fingerprint());
  CHECK(closed.fingerprint() !=
        CostAwareWindow{{.costs = {{1, 1.0}, {8, 8.0}}, .survival = {0.5}}}.fingerprint());
}

TEST_CASE("one row a pass draws plain AR's tokens") {
  TableHost host{{.vocab = 9, .seed = 3}};
  SpeculativeJacobiDenoiser one{host, CostAwareWindow{}, NoNoise{}};
  PlainAr plain{host};
  for (const Request& request : mixed_requests(7)) {
    const auto picture = one.generate(request);
    CHECK(picture.tokens == plain.generate(request).tokens);
    CHECK(picture.statistics.passes_by_rows ==
          std::vector<std::int64_t>{picture.statistics.forward_passes});
  }
}

}  // namespace sjd::test
