// SPDX-License-Identifier: Apache-2.0
// Rows of the catalogue of faults that are no fault of a call: numbers, windows and batches at
// their edges, counted for the fault table.
#include <algorithm>
#include <limits>

#include "sjd/methods.hpp"
#include "support/compositions.hpp"
#include "support/fault_line.hpp"
#include "support/scripted_gate.hpp"

namespace sjd::test {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Calls use(decoder, host) for SJD and SJD2.
template <class Use>
void for_two(const TableOptions& options, std::int64_t window, Use&& use) {
  TableOptions with_mean = options;
  with_mean.posterior_mean = true;
  TableHost plain{options};
  CoupledSjd<TableHost> sjd{plain, FixedWindow{.tokens = window}};
  use(sjd, plain);
  TableHost noisy{with_mean};
  CoupledSjd2<TableHost> sjd2{noisy, FixedWindow{.tokens = window}, table_schedule()};
  use(sjd2, noisy);
}

Slot drafted(TokenId token, const TokenLaw& law) {
  return {.token = token, .law = law};
}

}  // namespace

TEST_CASE("catalogue: a token that is -Inf in every branch is never drawn", "[faults]") {
  std::int64_t decodes = 0;
  for (TokenId banned = 0; banned < 5; ++banned) {
    for (const float scale : {-1.0F, 0.0F, 1.0F, 3.0F}) {
      for_two({.vocab = 5, .dim = 2, .seed = 8}, 4, [&](auto& decoder, TableHost& host) {
        host.spoil = [&](MatrixView<float> logits) {
          for (std::int64_t r = 0; r < logits.rows; ++r) {
            logits.row(r)[static_cast<std::size_t>(banned)] = -infinity;
          }
        };
        const auto tokens = decoder.generate({.tokens = 20, .seed = 3, .guidance = {scale}}).tokens;
        CHECK(tokens.size() == 20);
        CHECK(std::count(tokens.begin(), tokens.end(), banned) == 0);
        decodes += 1;
      });
    }
  }
  print_fault(4, "-Inf in every guidance branch", decodes, "never drawn, decoded to the end");
}

TEST_CASE("catalogue: drafts and laws at their edges, at the ends of the uniform", "[faults]") {
  const SpeculativeAcceptance rule;
  const uint128 ends[] = {0, 1, largest_bits / 2, largest_bits - 1, largest_bits};
  std::int64_t without_p = 0, without_q = 0, equal = 0, near = 0;
  for (const uint128 u : ends) {
    // p(x) = 0: always rejected, and never drawn instead.
    for (const std::uint32_t mass : {1U, 7U, 0xFFFFFFFFU}) {
      const TokenLaw p = law_of({mass, 0, mass});
      const Slot slot = drafted(1, law_of({mass, mass, mass}));
      ScriptedGate gate{{u, u}};
      CHECK_FALSE(rule.accept(gate, {}, slot, p));
      CHECK(rule.recover(gate, {}, slot, p) != 1);
      without_p += 1;
    }
    // q(x) = 0 though x was drafted: admitted exactly where p allows it.
    for (const TokenId x : {0, 1, 2}) {
      const TokenLaw p = law_of({3, 0, 2});
      ScriptedGate gate{{u, u}};
      CHECK(rule.accept(gate, {}, drafted(x, TokenLaw::point(x == 0 ? 1 : 0)), p) == (x != 1));
      without_q += 1;
    }
    // p = q: always accepted, nothing is normalised.
    for (const TokenLaw& law : {law_of({1}), law_of({1, 0xFFFFFFFFU}), law_of({5, 0, 5, 1})}) {
      ScriptedGate gate{{u}};
      CHECK(rule.accept(gate, {}, drafted(law.token(law.size() - 1), law), law));
      equal += 1;
    }
    // p and q one unit of 2^32 apart: the residual is one token, and drawn.
    for (const std::uint32_t mass : {1U, 2U, 1U << 20U, 0xFFFFFFFEU}) {
      const TokenLaw p = law_of({mass + 1, mass, mass});
      const TokenLaw q = law_of({mass, mass + 1, mass});
      ScriptedGate gate{{u, u}};
      CHECK(rule.recover(gate, {}, drafted(1, q), p) == 0);
      near += 1;
    }
  }
  print_fault(5, "draft without target mass", without_p, "rejected, also at u = 0");
  print_fault(6, "draft without a mass of its own", without_q, "accepted where p has mass");
  print_fault(7, "target and draft law equal", equal, "accepted, nothing normalised");
  print_fault(8, "laws one unit apart", near, "the residual token is drawn");
}

TEST_CASE("catalogue: one token, one kept token, no temperature", "[faults]") {
  std::int64_t decodes = 0;
  for (const std::int64_t vocab : {1, 4}) {
    for (const SamplingOptions& sampling :
         {SamplingOptions{.temperature = 0.0F}, SamplingOptions{.temperature = 1e-30F},
          SamplingOptions{.top_k = 1}, SamplingOptions{.top_p = 1e-38F}}) {
      TableHost host{{.vocab = vocab, .seed = 8}};
      const auto expected = PlainAr{host}.generate({.tokens = 12, .sampling = sampling}).tokens;
      for_two({.vocab = vocab, .dim = 2, .seed = 8}, 5, [&](auto& decoder, TableHost&) {
        CHECK(decoder.generate({.tokens = 12, .seed = 7, .sampling = sampling}).tokens == expected);
        decodes += 1;
      });
    }
  }
  print_fault(9, "V = 1, top-k 1, temperature 0 or 1e-30", decodes, "the greedy tokens");
}

TEST_CASE("catalogue: a vocabulary beyond 2^17", "[faults]") {
  std::int64_t decodes = 0;
  constexpr std::int64_t vocab = (1 << 17) + 1;
  for (const std::int64_t token : {std::int64_t{0}, vocab / 2, vocab - 1}) {
    TableHost host{{.vocab = vocab, .seed = 8}};
    host.spoil = [&](MatrixView<float> logits) {
      for (std::int64_t r = 0; r < logits.rows; ++r) {
        std::fill(logits.row(r).begin(), logits.row(r).end(), -infinity);
        logits.row(r)[static_cast<std::size_t>(token)] = 0.5F;
      }
    };
    CoupledSjd<TableHost> decoder{host, FixedWindow{.tokens = 3}};
    CHECK(decoder.generate({.tokens = 4}).tokens ==
          std::vector<TokenId>(4, static_cast<TokenId>(token)));
    decodes += 1;
  }
  print_fault(10, "ids up to 2^17", decodes, "drawn as they are");
}

TEST_CASE("catalogue: windows against lengths", "[faults]") {
  std::int64_t wide = 0, one = 0, nothing = 0;
  for (std::int64_t length = 1; length <= 8; ++length) {
    for (const std::int64_t window : {length, length + 1, std::int64_t{500}}) {
      for_two({.vocab = 4, .dim = 2, .seed = 8}, window, [&](auto& decoder, TableHost&) {
        std::int64_t most = 0;
        const auto picture = decoder.generate({.tokens = length}, [&](const IterationEvent& event) {
          most = std::max(most, event.rows);
          return true;
        });
        CHECK(static_cast<std::int64_t>(picture.tokens.size()) == length);
        CHECK(most <= length - 1);
        wide += 1;
      });
    }
  }
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    TableHost host{{.vocab = 5, .seed = seed}};
    const Request request{.tokens = 30, .seed = seed, .guidance = {1.5F}};
    CoupledSjd<TableHost> decoder{host, FixedWindow{.tokens = 1}};
    CHECK(decoder.generate(request).tokens == PlainAr{host}.generate(request).tokens);
    one += 1;
  }
  for_two({.vocab = 4, .dim = 2}, 3, [&](auto& decoder, TableHost& host) {
    CHECK(decoder.generate({.tokens = 0}).tokens.empty());
    CHECK(host.calls == 0);
    nothing += 1;
  });
  TableHost host{{}};
  for (const std::int64_t window : {0, -1}) {
    CHECK_THROWS_AS((CoupledSjd<TableHost>{host, FixedWindow{.tokens = window}}), Error);
    nothing += 1;
  }
  print_fault(12, "window beyond the picture", wide, "no row asked past the end");
  print_fault(13, "one row a pass", one, "the tokens of plain AR");
  print_fault(14, "no tokens; no rows", nothing, "empty result; refused");
}

TEST_CASE("catalogue: empty and ragged batches", "[faults]") {
  std::int64_t empty = 0, sets = 0;
  for_two({.vocab = 5, .dim = 2, .seed = 8, .sequences = 3}, 4,
          [&](auto& decoder, TableHost& host) {
            CHECK(decoder.generate(std::vector<Request>{}).empty());
            CHECK(decoder.step({}).empty());
            CHECK(host.calls == 0);
            empty += 2;
            for (std::uint64_t set = 0; set < 200; ++set) {
              std::vector<Request> requests;
              for (std::uint64_t i = 0; i < 1 + mix(set) % 6; ++i) {
                Request request{.tokens = static_cast<std::int64_t>(mix(set * 7 + i) % 14),
                                .seed = set,
                                .sample = i};
                if (mix(set + i) % 3 == 0) request.guidance = {1.5F};
                requests.push_back(request);
              }
              const auto together = decoder.generate(requests);
              bool same = true;
              for (std::size_t i = 0; i < requests.size(); ++i) {
                same = same && decoder.generate(requests[i]).tokens == together[i].tokens;
              }
              CHECK(same);
              sets += 1;
            }
          });
  print_fault(15, "empty batch", empty, "empty result, model not called");
  print_fault(16, "ragged batches", sets, "each picture as alone");
}

}  // namespace sjd::test
