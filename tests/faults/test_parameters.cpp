// SPDX-License-Identifier: Apache-2.0
// Numbers at the edge of what they may be: options of every bit pattern, laws of awkward rows, and
// states that no decoder made.
#include <bit>
#include <cmath>
#include <iostream>
#include <limits>

#include "support/compositions.hpp"
#include "support/fault_line.hpp"

namespace sjd::test {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Bit patterns with every exponent, both signs and odd mantissas.
std::vector<float> patterns() {
  std::vector<float> all{0.0F, -0.0F, 1.0F, infinity, -infinity, NAN, 1.0e-45F, 3.0e38F};
  for (std::uint64_t i = 0; i < 2'000; ++i) {
    all.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(mix(i))));
  }
  return all;
}

/// Whether `call` returned; what it throws must be invalid_argument.
template <class Call>
bool accepted(Call&& call) {
  try {
    call();
    return true;
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_argument);
    return false;
  }
}

TokenLaw law_of(std::vector<float> logits, SamplingOptions options = {}) {
  TokenLaw law;
  cpu::LawBuilder{}.build(logits, options, law);
  return law;
}

Slot slot_with(TokenId token, TokenLaw law) {
  Slot slot;
  slot.token = token;
  slot.law = std::move(law);
  return slot;
}

/// The text of the invalid_argument that a step with this state throws.
template <class Decoder>
std::string refusal(Decoder& decoder, const DecoderState& state) {
  DecoderState forged = state;
  try {
    decoder.step({&forged, 1});
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_argument);
    CHECK(forged == state);
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("faults: options of any bit pattern are refused or decode", "[faults]") {
  TableHost host{{.vocab = 5, .dim = 2, .seed = 2, .posterior_mean = true}};
  CoupledSjd<TableHost> decoder{host, FixedWindow{.tokens = 3}};
  std::int64_t good = 0;
  for (const float x : patterns()) {
    const auto decodes = [&](const Request& request) {
      std::size_t made = 0;
      const bool ok = accepted([&] { made = decoder.generate(request).tokens.size(); });
      if (ok) CHECK(made == static_cast<std::size_t>(request.tokens));
      good += ok ? 1 : 0;
      return ok;
    };
    CAPTURE(x);
    CHECK(decodes({.tokens = 4, .sampling = {.temperature = x}}) == (x >= 0.0F && x < infinity));
    CHECK(decodes({.tokens = 4, .sampling = {.top_p = x}}) == (x > 0.0F && x <= 1.0F));
    if (!std::isfinite(x)) CHECK_FALSE(decodes({.tokens = 4, .guidance = {x}}));
    const auto schedule = [&](KarrasSchedule s) {
      return accepted([&] {
        s.validate();
        for (std::int32_t k = 0; k <= s.grid + 1; ++k) {
          const NoiseCoefficients c = s.coefficients(k);
          CHECK((std::isfinite(c.sigma) && c.alpha > 0.0F && (k == 0 || c.sigma > 0.0F)));
        }
      });
    };
    CHECK(schedule({.rho_min = x}) == (x >= 1.0e-6F && x < 16.0F));
    CHECK(schedule({.rho_max = x}) == (x > 2.0F && x <= 1.0e6F));
  }
  CHECK(good > 1'000);
  constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
  CHECK_FALSE(accepted([] { KarrasSchedule{.levels = 1, .grid = most}.validate(); }));
  CHECK_FALSE(accepted([] { KarrasSchedule{.levels = most, .grid = most}.validate(); }));
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  CHECK_FALSE(accepted([] { RowEndGrammar{.columns = huge}.validate(4); }));
  CHECK_FALSE(accepted([&] { static_cast<void>(decoder.generate({.tokens = huge})); }));
  CHECK_FALSE(accepted([&] {
    static_cast<void>(decoder.generate({.tokens = 1, .guidance = std::vector<float>(1'025)}));
  }));
  CHECK(decoder.generate({.tokens = 6, .sampling = {.top_k = huge}}).tokens ==
        decoder.generate({.tokens = 6}).tokens);
  SpeculativeJacobiDenoiser wide{host, FixedWindow{.tokens = huge}, NoNoise{}};
  CHECK(wide.generate({.tokens = 6}).tokens.size() == 6);
  print_fault(11, "options of any bit pattern", 5 * std::ssize(patterns()),
              "refused by name, or decoded to the end");
}

TEST_CASE("faults: a table or statistics that cannot carry noise are refused", "[faults]") {
  struct Host : TableHost {
    using TableHost::TableHost;
    std::vector<float> table, mean, scale, prior;
    std::int64_t rows = 5;
    std::int64_t columns = 2;
    [[nodiscard]] MatrixView<const float> embedding_table() const {
      return {table.data(), rows, columns};
    }
    [[nodiscard]] NoiseContract noise_contract() const {
      NoiseContract contract = TableHost::noise_contract();
      contract.mean = mean;
      contract.scale = scale;
      contract.log_prior = prior;
      return contract;
    }
  };
  const auto works = [](auto change) {
    Host host{{.vocab = 5, .dim = 2, .posterior_mean = true}};
    host.table.assign(10, 0.5F);
    host.mean.assign(2, 0.0F);
    host.scale.assign(2, 1.0F);
    host.prior.assign(5, -1.0F);
    change(host);
    try {
      SpeculativeJacobiDenoiser{host, table_schedule()};
      return true;
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::contract);
      return false;
    }
  };
  CHECK(works([](Host&) {}));
  CHECK(works([](Host& h) { h.prior[3] = -infinity; }));
  for (const float bad : {NAN, infinity, -infinity}) {
    CHECK_FALSE(works([&](Host& h) { h.table[7] = bad; }));
    CHECK_FALSE(works([&](Host& h) { h.mean[1] = bad; }));
    CHECK_FALSE(works([&](Host& h) { h.scale[1] = bad; }));
  }
  CHECK_FALSE(works([](Host& h) { h.scale[0] = 0.0F; }));
  CHECK_FALSE(works([](Host& h) { h.scale[0] = -1.0F; }));
  CHECK_FALSE(works([](Host& h) { h.prior[0] = NAN; }));
  CHECK_FALSE(works([](Host& h) { h.prior.assign(5, -infinity); }));
  CHECK_FALSE(works([](Host& h) { h.prior.pop_back(); }));
  CHECK_FALSE(works([](Host& h) { h.rows = 4; }));
  CHECK_FALSE(works([](Host& h) { h.columns = 0; }));
  CHECK_FALSE(works([](Host& h) { h.table.clear(), h.table.shrink_to_fit(); }));
}

TEST_CASE("faults: rows that are awkward but legal", "[faults]") {
  // -Inf in both branches masks; +Inf is an error also where a negative scale would mask it.
  const std::vector<float> two{1.0F, -infinity, 0.0F, 2.0F, -infinity, 1.0F};
  std::vector<float> guided(3);
  cpu::guide({two.data(), 2, 3}, std::vector<float>{3.0F}, guided);
  CHECK(guided == std::vector<float>{-1.0F, -infinity, -2.0F});
  const std::vector<float> over{1.0F, infinity, 0.0F, 2.0F, 1.0F, 1.0F};
  cpu::guide({over.data(), 2, 3}, std::vector<float>{-3.0F}, guided);
  CHECK(guided[1] == infinity);
  // One token, one kept token, no temperature and next to none.
  CHECK(law_of({-3.0F}).mass(0) > 0);
  for (const SamplingOptions& o :
       {SamplingOptions{.temperature = 0.0F}, SamplingOptions{.temperature = 1.0e-30F},
        SamplingOptions{.top_k = 1}, SamplingOptions{.top_p = 1.0e-38F}}) {
    const TokenLaw law = law_of({0.0F, 2.0F, 1.0F}, o);
    CHECK(law.size() == 1);
    CHECK(law.token(0) == 1);
  }
  // A vocabulary beyond 2^17, the mass at its very end.
  std::vector<float> wide((std::size_t{1} << 17U) + 1, -infinity);
  wide.back() = 1.0F;
  CHECK(law_of(wide).token(0) == 1 << 17);
}

TEST_CASE("faults: drafts without mass, equal laws and forged laws", "[faults]") {
  const SpeculativeAcceptance rule;
  const TokenLaw p = law_of({0.0F, -infinity, 1.0F});
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    PhiloxGate gate{seed, 0};
    const DrawKey key{.position = 3, .iteration = 1};
    CHECK_FALSE(rule.accept(gate, key, slot_with(1, TokenLaw::uniform(3)), p));
    CHECK(rule.recover(gate, key, slot_with(1, TokenLaw::uniform(3)), p) != 1);
    CHECK(rule.accept(gate, key, slot_with(2, p), p));
  }
  PhiloxGate gate{1, 0};
  // q has no mass for its own draft: the draft is admitted by p alone, and without it refused.
  CHECK(rule.accept(gate, {}, slot_with(2, TokenLaw::point(0)), p));
  Slot forged = slot_with(1, p);
  const auto refused = [](auto&& call) {
    try {
      call();
      FAIL("a token was drawn from nothing");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::contract);
      CHECK(error.position() == 7);
    }
  };
  refused([&] { static_cast<void>(rule.recover(gate, {.position = 7}, forged, p)); });
  refused([&] { MaximalCoupling{}.refresh(gate, {.position = 7}, forged, p); });
}

TEST_CASE("faults: a state that no decoder made is refused", "[faults]") {
  TableHost host{{.vocab = 5, .dim = 2, .seed = 2, .posterior_mean = true}};
  SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = 4}, table_schedule()};
  DecoderState good = decoder.start(0, {.tokens = 12});
  decoder.step({&good, 1});
  const auto refuse = [&](auto change, const std::string& reason) {
    DecoderState forged = good;
    change(forged);
    const std::string text = refusal(decoder, forged);
    CAPTURE(text);
    CHECK(text.find(reason) != std::string::npos);
  };
  REQUIRE(good.window.front().level > 0);
  refuse([](DecoderState& s) { s.tokens.clear(), s.iteration = 0; }, "begin with start()");
  refuse([](DecoderState& s) { s.sequence = 1; }, "no such sequence");
  refuse([](DecoderState& s) { s.sequence = -1; }, "no such sequence");
  refuse([](DecoderState& s) { s.tokens[0] = 5; }, "a token is outside");
  refuse([](DecoderState& s) { s.tokens[0] = -1; }, "a token is outside");
  refuse([](DecoderState& s) { s.iteration = -1; }, "a wrong iteration");
  refuse([](DecoderState& s) { s.iteration = s.committed(); }, "a wrong iteration");
  refuse([](DecoderState& s) { s.total = s.committed() + 1; }, "behind the picture");
  refuse([](DecoderState& s) { s.total = std::int64_t{1} << 40; }, "too large");
  refuse([](DecoderState& s) { s.window[0].level = 3; }, "another schedule");
  refuse([](DecoderState& s) { s.window[0].level = -1; }, "another schedule");
  refuse([](DecoderState& s) { s.window[0].level = 0; }, "another length");
  refuse([](DecoderState& s) { s.window[0].age = 1 << 30; }, "older");
  refuse([](DecoderState& s) { s.window[0].age = -1; }, "older");
  refuse([](DecoderState& s) { s.window[0].token = 5; }, "a draft is outside");
  refuse([](DecoderState& s) { s.window[0].token = -2; }, "a draft is outside");
  refuse([](DecoderState& s) { s.window[0].noisy.pop_back(); }, "another length");
  refuse([](DecoderState& s) { s.window[0].law = TokenLaw::uniform(6); }, "reaches outside");
  refuse([](DecoderState& s) { s.window[0].law.clear(); }, "without a law");
  refuse([](DecoderState& s) { s.window[0] = Slot{}; }, "no token");
  refuse([](DecoderState& s) { s.sampling.top_p = 0.0F; }, "top_p");
  decoder.step({&good, 1});
}

}  // namespace sjd::test
