// SPDX-License-Identifier: Apache-2.0
// Empty work, cancellation, bad numbers and bad options.
#include <cmath>
#include <limits>

#include "support/compositions.hpp"

namespace sjd::test {
namespace {

/// The error that `call` throws.
template <class Call>
Error error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  FAIL("nothing was thrown");
  return {ErrorCode::io, ""};
}

template <class Call>
void check_invalid(Call&& call) {
  CHECK(error_of(call).code() == ErrorCode::invalid_argument);
}

/// A wrong refinement: the token it stores is not one of the law beside it.
struct ForeignToken {
  using role = role::refinement;
  static constexpr bool tracks_true_law = true;

  template <RandomGate Gate>
  void refresh(Gate&, DrawKey, Slot& slot, const TokenLaw& target) const {
    slot.law = target;
    slot.token = 4;
  }
};

/// A wrong refinement: its slots have no token.
struct NoToken {
  using role = role::refinement;
  static constexpr bool tracks_true_law = true;

  template <RandomGate Gate>
  void refresh(Gate&, DrawKey, Slot& slot, const TokenLaw&) const {
    slot.token = -1;
  }
};

/// Steps until it throws, and checks what every such error must say.
template <class Decoder>
void check_broken_policy(TableHost& host, Decoder& decoder, const char* reason) {
  std::vector<DecoderState> states{decoder.start(1, {.tokens = 40, .seed = 3})};
  std::vector<DecoderState> before;
  const Error error = error_of([&] {
    for (int i = 0; i < 10; ++i) {
      before = states;
      decoder.step(states);
    }
  });
  CHECK(host.calls > 1);
  CHECK(error.code() == ErrorCode::contract);
  CHECK(error.sequence() == 1);
  CHECK(error.position() >= before[0].committed());
  CHECK(states == before);
  const std::string text = error.what();
  INFO(text);
  CHECK(text.find(reason) != std::string::npos);
  CHECK(text.find("sequence 1, image position " + std::to_string(error.position())) !=
        std::string::npos);
}

}  // namespace

TEST_CASE("a draft whose law does not hold its token is an error, not a read past the end") {
  TableHost host{{.vocab = 5, .sequences = 2}};
  host.spoil = [](MatrixView<float> logits) {
    for (std::int64_t r = 0; r < logits.rows; ++r) {
      for (std::size_t v = 0; v < 5; ++v) logits.row(r)[v] = v < 4 ? 0.0F : -1000.0F;
    }
  };
  SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = 4}, NoNoise{}, ForeignToken{}};
  static_assert(decltype(decoder)::is_lossless, "a claim that nobody can check at compile time");
  check_broken_policy(host, decoder, "has no mass in the law that it carries");
}

TEST_CASE("a refinement that leaves no token is an error, with and without noise") {
  const TableOptions options{.vocab = 5, .dim = 2, .sequences = 2, .posterior_mean = true};
  for (const std::int32_t levels : {1, 2, 5}) {
    TableHost host{options};
    SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = 6}, table_schedule(levels),
                                      NoToken{}};
    check_broken_policy(host, decoder, "left a slot without a token");
  }
  TableHost host{options};
  SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = 6}, NoNoise{}, NoToken{}};
  static_assert(decltype(decoder)::is_lossless, "a claim that nobody can check at compile time");
  check_broken_policy(host, decoder, "left a slot without a token");
}

TEST_CASE("nothing to do calls nobody") {
  for_each_composition([](const auto& c) {
    INFO(c.name);
    TableHost host{options_for(c)};
    c.with(host, 4, [&](auto& decoder) {
      CHECK(decoder.generate(std::vector<Request>{}).empty());
      const auto empty = decoder.generate({.tokens = 0});
      CHECK(empty.tokens.empty());
      CHECK(empty.statistics == DecodeStatistics{});
      CHECK_FALSE(empty.cancelled);
    });
    CHECK(host.calls == 0);
  });
  TableHost host{{}};
  CHECK(PlainAr{host}.generate(Request{.tokens = 0}).tokens.empty());
  CHECK(host.calls == 0);
}

TEST_CASE("a window wider than the picture never asks past its end") {
  for_each_composition([](const auto& c) {
    INFO(c.name);
    for (const std::int64_t length : {1, 2, 3, 9}) {
      TableHost host{options_for(c, {.vocab = 4, .dim = 2})};
      std::int64_t beyond = 0;
      c.with(host, 500, [&](auto& decoder) {
        const auto picture = decoder.generate({.tokens = length}, [&](const IterationEvent& event) {
          if (event.rows > length - 1) beyond += 1;
          return true;
        });
        CHECK(static_cast<std::int64_t>(picture.tokens.size()) == length);
      });
      CHECK(beyond == 0);
    }
  });
}

/// Asks for `wanted` rows in every pass, whatever it announced.
struct UnboundedWindow {
  using role = role::window;
  std::int64_t wanted = 1;

  [[nodiscard]] std::int64_t rows(std::int64_t, std::int64_t) const { return wanted; }
  [[nodiscard]] std::int64_t capacity() const { return 8; }
};

TEST_CASE("a window plan that asks for more or less than it may is an error that names it") {
  for (const std::int64_t wanted : {-1, 0, 9, 1 << 30}) {
    TableHost host{{.vocab = 5, .seed = 2, .sequences = 2}};
    SpeculativeJacobiDenoiser decoder{host, UnboundedWindow{wanted}, NoNoise{}};
    const Error error = error_of([&] { static_cast<void>(decoder.start(1, {.tokens = 20})); });
    CHECK(error.code() == ErrorCode::contract);
    CHECK(error.sequence() == 1);
    CHECK(error.position() == 1);
    const std::string text = error.what();
    CHECK(text.find("wants " + std::to_string(wanted) + " rows, of 1 .. 8") != std::string::npos);
  }
  // Near the end of the picture fewer rows are left than it asks for.
  TableHost host{{.vocab = 5, .seed = 2}};
  SpeculativeJacobiDenoiser decoder{host, UnboundedWindow{8}, NoNoise{}};
  std::vector<DecoderState> states{decoder.start(0, {.tokens = 20})};
  std::vector<DecoderState> before;
  const Error error = error_of([&] {
    for (int i = 0; i < 20; ++i) {
      before = states;
      decoder.step(states);
    }
  });
  CHECK(error.code() == ErrorCode::contract);
  CHECK(error.position() > 12);
  CHECK(states == before);
}

TEST_CASE("the window plan of a finished picture is not asked") {
  TableHost host{{.vocab = 5, .seed = 2}};
  SpeculativeJacobiDenoiser decoder{host, UnboundedWindow{1}, NoNoise{}};
  CHECK(decoder.generate({.tokens = 20}).tokens.size() == 20);
}

/// A refinement with a parameter outside its range.
struct BadRefinement : MaximalCoupling {
  void validate() const { throw Error{ErrorCode::invalid_argument, "BadRefinement"}; }
};

/// A sampler with one.
struct BadSampler : SpeculativeAcceptance {
  void validate() const { throw Error{ErrorCode::invalid_argument, "BadSampler"}; }
};

TEST_CASE("every policy is asked whether it is valid") {
  TableHost host{{.vocab = 5, .seed = 2}};
  check_invalid([&] { SpeculativeJacobiDenoiser decoder(host, NoNoise{}, BadRefinement{}); });
  check_invalid([&] { SpeculativeJacobiDenoiser decoder(host, NoNoise{}, BadSampler{}); });
  check_invalid([&] { PlainAr decoder(host, BadSampler{}); });
}

TEST_CASE("a callback that returns false stops with what stands") {
  TableHost host{{.vocab = 5, .seed = 2, .sequences = 2}};
  CoupledSjd<TableHost> decoder{host, FixedWindow{.tokens = 4}};
  const std::vector<Request> requests(3, Request{.tokens = 40, .seed = 5});
  const auto whole = decoder.generate(requests.front());
  for (std::int64_t stop = 1; stop < whole.statistics.forward_passes; ++stop) {
    std::int64_t seen = 0;
    const auto results = decoder.generate(requests, [&](const IterationEvent& event) {
      return event.state.sequence != 0 || ++seen != stop;
    });
    CHECK(results[0].cancelled != results[1].cancelled);
    for (const GenerationResult& r : results) {
      CHECK(std::equal(r.tokens.begin(), r.tokens.end(), whole.tokens.begin()));
      CHECK(r.cancelled == (r.tokens.size() < whole.tokens.size()));
      if (r.cancelled) CHECK(r.statistics.forward_passes == stop);
    }
  }
}

TEST_CASE("a bad logit is an error that names sequence and position") {
  for (const float bad : {NAN, INFINITY}) {
    for (const std::int64_t row : {0, 2, 5}) {
      TableHost host{{.vocab = 5, .seed = 2, .sequences = 2}};
      CoupledSjd<TableHost> decoder{host, FixedWindow{.tokens = 3}};
      std::vector<DecoderState> states{decoder.start(1, {.tokens = 40, .seed = 1}),
                                       decoder.start(0, {.tokens = 40, .seed = 2})};
      host.spoil = [&](MatrixView<float> logits) { logits.row(row)[4] = bad; };
      const Error error = error_of([&] { decoder.step(states); });
      CHECK(error.code() == ErrorCode::invalid_logits);
      CHECK(error.sequence() == (row < 3 ? 0 : 1));
      CHECK(error.position() == 1 + row % 3);
      const std::string text = error.what();
      CHECK(text.find("token 4") != std::string::npos);
      CHECK(text.find("sequence " + std::to_string(error.sequence())) != std::string::npos);
      CHECK(text.find("position " + std::to_string(error.position())) != std::string::npos);
    }
  }
}

TEST_CASE("a row without any finite logit is an error, one finite logit is a token") {
  TableHost host{{.vocab = 5, .seed = 2}};
  host.spoil = [](MatrixView<float> logits) {
    for (float& z : logits.row(0)) z = -std::numeric_limits<float>::infinity();
  };
  PlainAr plain{host};
  const Error error = error_of([&] { static_cast<void>(plain.generate({.tokens = 3})); });
  CHECK(error.code() == ErrorCode::empty_support);
  CHECK(error.position() == 0);
  CHECK(error.sequence() == 0);
  host.spoil = [](MatrixView<float> logits) {
    for (std::int64_t r = 0; r < logits.rows; ++r) {
      for (float& z : logits.row(r)) z = -std::numeric_limits<float>::infinity();
      logits.row(r)[3] = -1.0e30F;
    }
  };
  CHECK(CoupledSjd<TableHost>{host}.generate({.tokens = 6}).tokens == std::vector<TokenId>(6, 3));
}

TEST_CASE("a decoder refuses options outside their range") {
  TableHost host{{.vocab = 5, .posterior_mean = true}};
  const auto schedule = [](KarrasSchedule s) { return s; };
  check_invalid([&] { CoupledSjd<TableHost>{host, FixedWindow{.tokens = 0}}; });
  check_invalid([&] { CoupledSjd<TableHost>{host, FixedWindow{.tokens = -3}}; });
  for (const KarrasSchedule& bad :
       {schedule({.levels = 0, .grid = 4}), schedule({.levels = 6, .grid = 4}),
        schedule({.levels = 4, .grid = 4}), schedule({.grid = 0}), schedule({.rho_min = 0.0F}),
        schedule({.rho_min = 3.0F, .rho_max = 2.0F}), schedule({.tokens_per_level = 0})}) {
    check_invalid([&] { Sjd2<TableHost>{host, bad}; });
  }
  CoupledSjd<TableHost> decoder{host};
  const auto refuse = [&](const Request& request) {
    check_invalid([&] { static_cast<void>(decoder.generate(request)); });
  };
  refuse({.tokens = -1});
  refuse({.tokens = 4, .sampling = {.temperature = -1.0F}});
  refuse({.tokens = 4, .sampling = {.temperature = NAN}});
  refuse({.tokens = 4, .sampling = {.top_k = -1}});
  refuse({.tokens = 4, .sampling = {.top_p = 0.0F}});
  refuse({.tokens = 4, .guidance = {NAN}});
  refuse({.tokens = 4, .guidance = {INFINITY}});
  CHECK(host.calls == 0);
  check_invalid([&] { static_cast<void>(decoder.start(1, {.tokens = 4})); });
  check_invalid([&] { static_cast<void>(decoder.start(-1, {.tokens = 4})); });
}

TEST_CASE("a bad request in a batch is refused before any work is done") {
  TableHost host{{.vocab = 5}};
  CoupledSjd<TableHost> decoder{host};
  std::vector<Request> requests(3, Request{.tokens = 4});
  requests[2].sampling.top_p = 2.0F;
  check_invalid([&] { static_cast<void>(decoder.generate(requests)); });
  CHECK(host.calls == 0);
}

TEST_CASE("a model without a sequence is refused") {
  TableHost host{{.sequences = 0}};
  check_invalid([&] { static_cast<void>(PlainAr{host}.generate(Request{.tokens = 4})); });
}

TEST_CASE("what the checkpoint was not trained on is refused") {
  const auto refuse = [](const TableOptions& options, auto... policies) {
    TableHost host{options};
    const Error error = error_of([&] { SpeculativeJacobiDenoiser{host, policies...}; });
    CHECK(error.code() == ErrorCode::contract);
    return std::string{error.what()};
  };
  const TableOptions mean{.posterior_mean = true};
  CHECK(refuse(mean, KarrasSchedule{}).find("grid 4") != std::string::npos);
  refuse(mean, KarrasSchedule{.grid = 4, .rho_min = 0.5F, .rho_max = 2.5F});
  refuse(mean, KarrasSchedule{.grid = 4, .rho_min = 0.25F, .rho_max = 2.0F});
  refuse(mean, table_schedule(), RawNoise{});
  refuse({.posterior_mean = false}, table_schedule());
  refuse(mean, table_schedule(), PerTokenNormalization{});
  refuse({.posterior_mean = true, .per_channel = false}, table_schedule());
  CHECK(refuse({.grid = 0}, table_schedule()).find("NoNoise") != std::string::npos);
  TableHost untrained{{.grid = 0}};
  CHECK(CoupledSjd<TableHost>{untrained}.generate({.tokens = 3}).tokens.size() == 3);
}

}  // namespace sjd::test
