// SPDX-License-Identifier: Apache-2.0
// The corrector head of the shipped model: AR's own tokens under GumbelEquality, and fewer passes.
#include <cstdint>
#include <span>
#include <vector>

#include "shipped_model.hpp"
#include "sjd/sjd.hpp"
#include "support/catch.hpp"

namespace {

using sjd::hosts::LlamaHost;
using Request = sjd::GenerationRequest<LlamaHost::Prompt>;

constexpr std::int64_t prompt_count = 16;

std::vector<Request> held_out_requests() {
  const std::vector<LlamaHost::Prompt> prompts = tests::held_out_prompts(prompt_count);
  std::vector<Request> requests;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Request request{.prompt = prompts[i], .tokens = 256, .seed = 11, .sample = i};
    if (i % 2 == 1) request.guidance = {3.0F};
    if (i % 5 == 2) request.sampling.temperature = 0.7F;
    if (i % 7 == 3) request.sampling.top_k = 64;
    requests.push_back(request);
  }
  return requests;
}

template <class... Policies>
void require_ar_tokens(LlamaHost& host, Policies... policies) {
  const auto requests = held_out_requests();
  sjd::PlainAr ar{host, sjd::GumbelEquality{}};
  const auto expected = ar.generate(std::span{requests});
  sjd::SpeculativeJacobiDenoiser decoder{host, sjd::GumbelEquality{}, sjd::GumbelCoupling{},
                                         sjd::HeadCorrector{.depth = 16}, policies...};
  const auto found = decoder.generate(std::span{requests});
  for (std::size_t i = 0; i < found.size(); ++i) {
    INFO("prompt " << i);
    REQUIRE(found[i].tokens == expected[i].tokens);
  }
}

/// Forward passes of all held-out requests together.
std::int64_t passes(LlamaHost& host, std::int64_t depth) {
  sjd::SpeculativeJacobiDenoiser decoder{host, sjd::FixedWindow{.tokens = 48},
                                         tests::shipped_schedule(1),
                                         sjd::HeadCorrector{.depth = depth}};
  const auto requests = held_out_requests();
  std::int64_t sum = 0;
  for (const auto& result : decoder.generate(std::span{requests})) {
    sum += result.statistics.forward_passes;
  }
  return sum;
}

}  // namespace

TEST_CASE("GumbelEquality with the shipped corrector draws AR's tokens") {
  LlamaHost host = tests::load_with_head(4);
  require_ar_tokens(host, sjd::FixedWindow{.tokens = 32}, sjd::NoNoise{});
  require_ar_tokens(host, sjd::FixedWindow{.tokens = 48}, tests::shipped_schedule(1));
}

TEST_CASE("the shipped corrector saves a third of the passes or more") {
  LlamaHost host = tests::load_with_head(8);
  CHECK(3 * passes(host, 32) < 2 * passes(host, 0));
}
