// SPDX-License-Identifier: Apache-2.0
// What benchmarks/gpu/hosts.cu times, on the host executor: a sequence in the middle of a picture,
// one step again and again from there, whole pictures.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gpu/mid_picture.hpp"
#include "gpu/picture_loop.hpp"
#include "sjd/hosts/llama_cuda.hpp"
#include "sjd/hosts/llama_shapes.hpp"
#include "sjd/plain_ar.hpp"
#include "support/catch.hpp"
#include "support/random_checkpoint.hpp"

namespace sjd::test {
namespace {

using bench::MidPicture;
using bench::MidPictureSize;
using bench::PictureLoop;
using cuda::HostDevice;
using hosts::HostBackend;
using Cuda = hosts::LlamaCuda<HostBackend, float>;
using Request = GenerationRequest<Cuda::Prompt>;

hosts::LlamaConfig raw_shape() {
  hosts::LlamaConfig shape = tiny_shape();
  shape.noise.posterior_mean = false;
  return shape;
}

Request request_of(std::vector<float> guidance) {
  return {.prompt = {3, 4}, .tokens = 24, .seed = 5, .guidance = std::move(guidance)};
}

}  // namespace

TEST_CASE("a picture that is entered in its middle ends as if it had been decoded to there") {
  const hosts::LlamaConfig shape = raw_shape();
  HostBackend backend;
  Cuda model{backend, shape, 5, {1, 7}};
  PlainAr ar{model};
  for (const std::vector<float>& guidance : {std::vector<float>{}, std::vector<float>{2.0F}}) {
    const Request request = request_of(guidance);
    const std::vector<TokenId> expected = ar.generate(request).tokens;
    SpeculativeJacobiDenoiser denoiser{model, FixedWindow{.tokens = 1}, NoNoise{}};
    HostDevice device;
    const cuda::DeviceRules rules{device, cuda::rules_of(denoiser, 0)};
    cuda::DeviceDecoder decoder{model, device, rules, {.most_tokens = 24, .branches = 2}, {}};
    for (const std::size_t middle : {std::size_t{1}, std::size_t{6}, std::size_t{20}}) {
      CAPTURE(middle, guidance.size());
      // Another picture in both caches.
      static_cast<void>(ar.generate({.prompt = {6}, .tokens = 24, .seed = 9, .guidance = {1.5F}}));
      decoder.admit(
          0, bench::start_within(denoiser, 0, request, std::span{expected}.first(middle), 5));
      REQUIRE(decoder.advance(23) == 0);
      CHECK(decoder.release(0).tokens == expected);
    }
  }
}

TEST_CASE("the middle and the floor of the published shapes") {
  CHECK(bench::context_of(hosts::janus_pro_1b_shape()) == 288);
  CHECK(bench::context_of(hosts::lumina_mgpt_7b_shape()) == 1024);
  CHECK(bench::context_of(hosts::emu3_8b_shape()) == 1024);
  // 7B by hand: 32 layers of four 4096 x 4096 and three 4096 x 11008, a head of 8192 rows.
  constexpr double weights = 32.0 * 4096 * (4 * 4096 + 3 * 11'008) + 8192.0 * 4096;
  constexpr double cache = 2.0 * 1024 * 32 * 2 * 4096;  // of two branches
  CHECK(bench::bytes_of_pass(hosts::lumina_mgpt_7b_shape(), 1024) ==
        close_to(2.0 * (weights + cache)));
}

TEST_CASE("a middle needs tokens on both sides") {
  HostBackend backend;
  Cuda model{backend, raw_shape(), 5, {1, 7}};
  SpeculativeJacobiDenoiser denoiser{model, FixedWindow{.tokens = 1}, NoNoise{}};
  const std::vector<TokenId> tokens(24, 1);
  for (const std::size_t count : {std::size_t{0}, std::size_t{24}}) {
    CHECK_THROWS_AS(
        bench::start_within(denoiser, 0, request_of({}), std::span{tokens}.first(count), 5), Error);
  }
}

TEST_CASE("a step in the middle of a picture comes again and again") {
  HostBackend backend;
  Cuda model{backend, raw_shape(), 5, {1, 7}};
  for (const std::int64_t window : {1, 6}) {
    CAPTURE(window);
    HostDevice device;
    MidPicture middle{model, device, MidPictureSize{window, 45, 90, 7, 20}, {}};
    REQUIRE(middle.state().committed() >= 45 + 3);  // three passes have run
    REQUIRE(middle.state().window.size() == static_cast<std::size_t>(window) - 1);
    const auto step = [&] {
      middle.enqueue_pass(device.launcher());
      middle.enqueue_step(device.launcher());
      return middle.look();
    };
    const DecoderState once = step();
    CHECK(once.iteration == middle.state().iteration + 1);
    CHECK(once.committed() > middle.state().committed());
    CHECK(step() == once);
    // What the clock of the steps does: judge the logits of the pass before once more.
    middle.enqueue_step(device.launcher());
    CHECK(middle.look() == once);
    middle.restore();
    CHECK(middle.look() == middle.state());
    // And a pass that moved the state, before it was put back.
    middle.enqueue_pass(device.launcher());
    middle.enqueue_step(device.launcher());
    middle.restore();
    CHECK(step() == once);
  }
}

TEST_CASE("nothing is enqueued for a decoder without a sequence") {
  HostBackend backend;
  Cuda model{backend, raw_shape(), 5, {1, 7}};
  SpeculativeJacobiDenoiser denoiser{model, FixedWindow{.tokens = 2}, NoNoise{}};
  HostDevice device;
  const cuda::DeviceRules rules{device, cuda::rules_of(denoiser, 0)};
  const cuda::DeviceDecoder decoder{model, device, rules, {.most_tokens = 24}, {}};
  CHECK_THROWS_AS(decoder.enqueue_pass(device.launcher()), Error);
  CHECK_THROWS_AS(decoder.enqueue_step(device.launcher()), Error);
}

TEST_CASE("pass and step by hand are what a run repeats") {
  HostBackend backend;
  Cuda model{backend, raw_shape(), 5, {1, 7}};
  SpeculativeJacobiDenoiser denoiser{model, FixedWindow{.tokens = 5}, NoNoise{}};
  HostDevice device;
  const cuda::DeviceRules rules{device, cuda::rules_of(denoiser, 0)};
  cuda::DeviceDecoder decoder{model, device, rules, {.most_tokens = 24}, {}};
  decoder.admit(0, denoiser.start(0, request_of({})));
  static_cast<void>(decoder.advance(4));
  const DecoderState expected = decoder.release(0);
  decoder.admit(0, denoiser.start(0, request_of({})));
  for (int i = 0; i < 4; ++i) {
    decoder.enqueue_pass(device.launcher());
    decoder.enqueue_step(device.launcher());
  }
  CHECK(decoder.release(0) == expected);
}

TEST_CASE("pictures of the shipped model through the device loop are the denoiser's") {
  using Painter = hosts::LlamaCuda<HostBackend, float>;
  HostBackend backend;
  Painter model{backend, SJD_MODEL_DIR, "sjd2.safetensors", {1, 4}};
  bench::load_head(model, SJD_MODEL_DIR);
  std::vector<Request> requests;
  for (std::uint64_t i = 0; i < 2; ++i) {
    requests.push_back(
        {.prompt = {7, 20}, .tokens = 7, .seed = 3, .sample = i, .guidance = {3.0F}});
  }
  const auto compare = [&](auto... policies) {
    SpeculativeJacobiDenoiser denoiser{model, policies...};
    const std::vector<GenerationResult> expected = denoiser.generate(requests);
    PictureLoop<Painter, HostDevice, decltype(policies)...> loop{model, 7, 2, {}, policies...};
    const std::vector<DecoderState> pictures = loop(requests);
    REQUIRE(pictures.size() == expected.size());
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      CHECK(pictures[i].tokens == expected[i].tokens);
      CHECK(pictures[i].statistics == expected[i].statistics);
    }
    return bench::tokens_per_pass(pictures);
  };
  CHECK(compare(FixedWindow{.tokens = 1}, NoNoise{}) == close_to(7.0 / 6.0));
  CHECK(compare(FixedWindow{.tokens = 4}, HeadCorrector{}) > 7.0 / 6.0);
}

}  // namespace sjd::test
