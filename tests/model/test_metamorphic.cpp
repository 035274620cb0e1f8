// SPDX-License-Identifier: Apache-2.0
// What must not change a token of the shipped model does not change one, bit for bit; and what
// must, does.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "changed_host.hpp"
#include "shipped_model.hpp"
#include "sjd/saved_state.hpp"
#include "sjd/sjd.hpp"
#include "support/catch.hpp"

namespace {

using sjd::hosts::LlamaHost;
using Request = sjd::GenerationRequest<LlamaHost::Prompt>;
using Pictures = std::vector<std::vector<sjd::TokenId>>;

/// The upper rows of pictures, of different lengths, with and without guidance and filters.
std::vector<Request> short_requests(std::size_t count, std::int64_t least) {
  const std::vector<LlamaHost::Prompt> prompts = tests::held_out_prompts(16);
  std::vector<Request> requests;
  for (std::size_t i = 0; i < count; ++i) {
    Request request{.prompt = prompts[i % prompts.size()], .seed = 21, .sample = i};
    request.tokens = least + static_cast<std::int64_t>((5 * i) % 13);
    if (i % 3 == 1) request.guidance = {3.0F};
    if (i % 4 == 2) request.sampling = {.temperature = 0.7F, .top_k = 64, .top_p = 0.95F};
    requests.push_back(request);
  }
  return requests;
}

template <class Decoder>
Pictures tokens_of(Decoder&& decoder, std::span<const Request> requests) {
  Pictures pictures;
  for (auto& result : decoder.generate(requests)) pictures.push_back(std::move(result.tokens));
  return pictures;
}

/// What paint decodes with.
auto default_decoder(LlamaHost& host) {
  return sjd::CorrectedSjd2<LlamaHost>{host, sjd::FixedWindow{.tokens = 16},
                                       tests::shipped_schedule(1)};
}

/// All of `requests` in a stirred order, `batch` at a time; the pictures in the order asked for.
template <class Decoder>
Pictures in_batches(Decoder& decoder, std::span<const Request> requests, std::size_t batch) {
  std::vector<std::size_t> order(requests.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // 29 and 64 have no common factor, so that every place is taken once.
  for (std::size_t& place : order) place = (29 * place + batch) % order.size();
  Pictures pictures(requests.size());
  for (std::size_t first = 0; first < order.size(); first += batch) {
    std::vector<Request> part;
    const std::size_t end = std::min(order.size(), first + batch);
    for (std::size_t i = first; i < end; ++i) part.push_back(requests[order[i]]);
    Pictures found = tokens_of(decoder, part);
    for (std::size_t i = first; i < end; ++i) pictures[order[i]] = std::move(found[i - first]);
  }
  return pictures;
}

std::vector<std::size_t> batch_sizes() {
  if (std::getenv("SJD_TESTS_FULL") == nullptr) return {2, 3, 5, 8, 13, 21, 34, 64};
  std::vector<std::size_t> all(63);
  std::iota(all.begin(), all.end(), std::size_t{2});
  return all;
}

/// Whether a decode fails or gives other pictures.
template <class Decoder>
bool is_noticed(Decoder&& decoder, std::span<const Request> requests, const Pictures& expected) {
  try {
    return tokens_of(decoder, requests) != expected;
  } catch (const sjd::Error&) {
    return true;
  }
}

}  // namespace

TEST_CASE("metamorphic: batch size, order and mates change no token") {
  const auto requests = short_requests(64, 6);
  LlamaHost host = tests::load_with_head(64);
  auto decoder = default_decoder(host);
  const Pictures alone = in_batches(decoder, requests, 1);
  for (const std::size_t batch : batch_sizes()) {
    INFO("batch " << batch);
    CHECK(in_batches(decoder, requests, batch) == alone);
  }
}

TEST_CASE("metamorphic: a host whose rows depend on the batch is noticed") {
  const auto requests = short_requests(64, 6);
  LlamaHost host = tests::load_with_head(64);
  tests::ChangedHost changed{host};
  sjd::CoupledSjd<tests::ChangedHost> decoder{changed, sjd::FixedWindow{.tokens = 8}};
  const Pictures alone = in_batches(decoder, requests, 1);
  CHECK(in_batches(decoder, requests, 8) == alone);
  changed.batch_noise = 0.01F;
  CHECK(in_batches(decoder, requests, 8) != in_batches(decoder, requests, 1));
}

TEST_CASE("metamorphic: the number of threads changes no token") {
  const auto requests = short_requests(12, 20);
  Pictures expected;
  for (const int threads : {1, 2, 3, 4}) {
    LlamaHost host = tests::load_with_head(5, threads);
    auto decoder = default_decoder(host);
    const Pictures found = tokens_of(decoder, requests);
    if (expected.empty()) expected = found;
    CHECK(found == expected);
  }
}

TEST_CASE("metamorphic: a decode goes on elsewhere after every iteration") {
  const auto requests = short_requests(3, 40);
  LlamaHost host = tests::load_with_head(2);
  LlamaHost other = tests::load_with_head(2, 1);
  auto decoder = default_decoder(host);
  auto elsewhere = default_decoder(other);
  const auto finish = [&](sjd::DecoderState state, const LlamaHost::Prompt& prompt) {
    sjd::restore_cache(other, state, prompt);
    while (!state.finished()) elsewhere.step({&state, 1});
    return state;
  };
  for (const Request& request : requests) {
    std::vector<sjd::DecoderState> path{decoder.start(0, request)};
    std::vector<std::vector<std::byte>> saved;
    while (!path.back().finished()) {
      saved.push_back(sjd::save_state(decoder, path.back(), "shipped"));
      path.push_back(path.back());
      decoder.step({&path.back(), 1});
    }
    CHECK(saved.size() >= 5);
    sjd::DecoderState expected = path.back();
    expected.sequence = 1;
    for (std::size_t i = 0; i < saved.size(); ++i) {
      INFO("saved after iteration " << i);
      const auto state = sjd::load_state(elsewhere, saved[i], "shipped", request, 1);
      CHECK(finish(state, request.prompt) == expected);
    }
    // With the cache of another prompt the picture is another one.
    const auto first = sjd::load_state(elsewhere, saved.front(), "shipped", request, 1);
    CHECK(finish(first, {}).tokens != expected.tokens);
  }
}

TEST_CASE("metamorphic: tokens without mass behind the vocabulary change nothing") {
  const auto requests = short_requests(12, 20);
  LlamaHost host = tests::load_with_head(4);
  tests::ChangedHost padded{host};
  // A uniform first draft would be drawn from the padding too.
  const auto decode = [&] {
    return sjd::SpeculativeJacobiDenoiser{padded, sjd::FixedWindow{.tokens = 8}, sjd::NoNoise{},
                                          sjd::RepeatLeft{}};
  };
  const Pictures plain = tokens_of(sjd::PlainAr{padded}, requests);
  const Pictures coupled = tokens_of(decode(), requests);
  padded.pad_logit = -std::numeric_limits<float>::infinity();
  for (const std::int64_t padding : {1, 7, 512}) {
    padded.padding = padding;
    CHECK(tokens_of(sjd::PlainAr{padded}, requests) == plain);
    CHECK(tokens_of(decode(), requests) == coupled);
  }
  padded.pad_logit = 0.0F;
  CHECK(is_noticed(sjd::PlainAr{padded}, requests, plain));
  CHECK(is_noticed(decode(), requests, coupled));
}

TEST_CASE("metamorphic: GumbelEquality is AR for every window, schedule and initialisation") {
  const auto requests = short_requests(8, 28);
  LlamaHost host = tests::load_with_head(8);
  const Pictures expected = tokens_of(sjd::PlainAr{host, sjd::GumbelEquality{}}, requests);
  for (const std::int64_t window : {1, 2, 3, 5, 9, 17, 33}) {
    const sjd::FixedWindow fixed{.tokens = window};
    INFO("window " << window);
    CHECK(tokens_of(sjd::GumbelSjd<LlamaHost>{host, fixed}, requests) == expected);
    sjd::SpeculativeJacobiDenoiser repeated{host,
                                            fixed,
                                            sjd::NoNoise{},
                                            sjd::GumbelEquality{},
                                            sjd::GumbelCoupling{},
                                            sjd::RepeatLeft{}};
    CHECK(tokens_of(repeated, requests) == expected);
    for (const auto descent : {sjd::LevelDescent::by_age, sjd::LevelDescent::by_deadline}) {
      for (const std::int32_t levels : {1, 2, 4}) {
        INFO("levels " << levels);
        const auto schedule = tests::shipped_schedule(levels, descent);
        CHECK(tokens_of(sjd::GumbelSjd2<LlamaHost>{host, fixed, schedule}, requests) == expected);
      }
    }
  }
  // The ratio test keeps the law, not the tokens.
  CHECK(tokens_of(default_decoder(host), requests) != tokens_of(sjd::PlainAr{host}, requests));
}
