// SPDX-License-Identifier: Apache-2.0
// The third guarantee on the shipped model: GumbelEquality draws AR's own tokens, whatever the
// window, the batch, the schedule and the threads.
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "shipped_model.hpp"
#include "sjd/sjd.hpp"
#include "support/catch.hpp"

namespace {

using sjd::hosts::LlamaHost;
using Request = sjd::GenerationRequest<LlamaHost::Prompt>;

constexpr std::int64_t prompt_count = 64;

/// Held-out prompts, every second one with guidance, temperatures and filters mixed.
std::vector<Request> held_out_requests() {
  const std::vector<LlamaHost::Prompt> prompts = tests::held_out_prompts(prompt_count);
  std::vector<Request> requests;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Request request{.prompt = prompts[i], .tokens = 256, .seed = 11, .sample = i};
    if (i % 2 == 1) request.guidance = {3.0F};
    if (i % 5 == 2) request.sampling.temperature = 0.7F;
    if (i % 7 == 3) request.sampling.top_k = 64;
    if (i % 11 == 4) request.sampling.top_p = 0.9F;
    requests.push_back(request);
  }
  return requests;
}

std::vector<std::vector<sjd::TokenId>> tokens_of(
    const std::vector<sjd::GenerationResult>& results) {
  std::vector<std::vector<sjd::TokenId>> tokens;
  for (const sjd::GenerationResult& result : results) tokens.push_back(result.tokens);
  return tokens;
}

/// AR's tokens of the held-out requests, decoded once.
const std::vector<std::vector<sjd::TokenId>>& ar_tokens() {
  static const auto tokens = [] {
    LlamaHost host = tests::load_shipped("sjd2.safetensors", 8, 2);
    sjd::PlainAr ar{host, sjd::GumbelEquality{}};
    return tokens_of(ar.generate(std::span<const Request>{held_out_requests()}));
  }();
  return tokens;
}

template <class... Policies>
void require_ar_tokens(std::int64_t batch, std::int64_t window, int threads, Policies... policies) {
  LlamaHost host = tests::load_shipped("sjd2.safetensors", batch, threads);
  sjd::SpeculativeJacobiDenoiser decoder{host, sjd::FixedWindow{.tokens = window},
                                         sjd::GumbelEquality{}, sjd::GumbelCoupling{}, policies...};
  const auto requests = held_out_requests();
  const auto results = decoder.generate(std::span<const Request>{requests});
  REQUIRE(results.size() == ar_tokens().size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    INFO("prompt " << i << ", window " << window << ", batch " << batch);
    REQUIRE(results[i].tokens == ar_tokens()[i]);
    if (window > 4) REQUIRE(results[i].statistics.forward_passes < 255);
  }
}

}  // namespace

TEST_CASE("the held-out prompts are 64 different ones and AR decodes each to the end") {
  REQUIRE(ar_tokens().size() == prompt_count);
  for (const auto& tokens : ar_tokens()) REQUIRE(tokens.size() == 256);
  REQUIRE(ar_tokens()[0] != ar_tokens()[1]);
}

TEST_CASE("SJD with GumbelEquality equals AR on the shipped model") {
  for (const std::int64_t batch : {1, 3, 8}) {
    for (const std::int64_t window : {1, 4, 16, 64}) {
      require_ar_tokens(batch, window, 1 + static_cast<int>(batch % 2), sjd::NoNoise{});
    }
  }
}

TEST_CASE("SJD2 with GumbelEquality equals AR on the shipped model") {
  for (const std::int64_t batch : {1, 3, 8}) {
    for (const std::int64_t window : {1, 4, 16, 64}) {
      const sjd::KarrasSchedule schedule =
          tests::shipped_schedule(window == 16 ? 1 : 2, batch == 3 ? sjd::LevelDescent::by_deadline
                                                                   : sjd::LevelDescent::by_age);
      require_ar_tokens(batch, window, 1 + static_cast<int>(batch % 2), schedule);
    }
  }
}
