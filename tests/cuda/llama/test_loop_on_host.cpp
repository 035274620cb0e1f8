// SPDX-License-Identifier: Apache-2.0
// The device host in the device loop: model, step and corrector head in one captured list, against
// the denoiser that has the host between passes.
#include <cstdint>
#include <vector>

#include "sjd/cuda/device_decoder.hpp"
#include "sjd/cuda/rules_of.hpp"
#include "sjd/hosts/corrector_lines.hpp"
#include "sjd/hosts/llama_cuda.hpp"
#include "sjd/sjd.hpp"
#include "support/catch.hpp"
#include "support/llama_script.hpp"
#include "support/random_head.hpp"

namespace sjd::test {
namespace {

using Model = hosts::LlamaCuda<hosts::HostBackend, float>;
using Request = GenerationRequest<Model::Prompt>;

constexpr std::int64_t places = 2;
constexpr std::int32_t window = 6;

std::vector<Request> some_requests() {
  std::vector<Request> requests;
  for (std::uint64_t i = 0; i < 4; ++i) {
    requests.push_back({.prompt = {static_cast<std::int32_t>(3 + i), 4},
                        .tokens = 20 + static_cast<std::int64_t>(5 * i),
                        .seed = 3,
                        .sample = i,
                        .guidance = std::vector<float>(i % 2, 2.0F)});
  }
  return requests;
}

/// The states of a loop that repeats a captured step `looks`-ing at every one, or not.
template <class Denoiser>
std::vector<DecoderState> run_loop(Denoiser& denoiser, bool looks) {
  Model& model = denoiser.model();
  const std::vector<Request> requests = some_requests();
  cuda::HostDevice device{{.seed = 9}, looks};
  const cuda::DeviceRules rules{device, cuda::rules_of(denoiser, 0)};
  const hosts::CorrectorLines lines{model.corrector_head().weights()};
  const cuda::DeviceHead head{device, lines.tables(), places, rules.rules().depth};
  cuda::DeviceDecoder decoder{model,
                              device,
                              rules,
                              {.sequences = places,
                               .most_tokens = model.config().image_tokens(),
                               .branches = 2,
                               .hidden_dim = model.hidden_dim()},
                              {.clusters = true, .multiprocessors = 8},
                              head.change()};
  return decoder.decode(4, [&](std::int64_t place, std::int64_t i) {
    return denoiser.start(static_cast<std::int32_t>(place), requests[static_cast<std::size_t>(i)]);
  });
}

template <class... Policies>
void check_loop(Policies... policies) {
  const LlamaDirectory files{tiny_shape()};
  hosts::HostBackend backend{{.seed = 2}, 4};
  Model model{backend, files.directory.path(), "sjd2.safetensors", {places, window + 1}};
  REQUIRE_THROWS_AS(model.corrector_head(), Error);
  model.set_corrector(random_head(model.vocab_size(), model.hidden_dim(), 5));
  SpeculativeJacobiDenoiser denoiser{model, FixedWindow{.tokens = window},
                                     HeadCorrector{.depth = window}, policies...};
  const std::vector<GenerationResult> expected = denoiser.generate(some_requests());
  for (const bool looks : {false, true}) {
    const std::vector<DecoderState> states = run_loop(denoiser, looks);
    REQUIRE(states.size() == expected.size());
    for (std::size_t i = 0; i < states.size(); ++i) {
      CAPTURE(looks, i);
      CHECK(states[i].tokens == expected[i].tokens);
      CHECK(states[i].statistics == expected[i].statistics);
    }
  }
}

}  // namespace

TEST_CASE("the device host in the loop draws what the denoiser draws on it") {
  check_loop(NoNoise{});
}

TEST_CASE("and with noise, which the window kernel feeds it") {
  check_loop(KarrasSchedule{.levels = 2, .grid = 4, .rho_min = 2.0F, .rho_max = 16.0F});
}

}  // namespace sjd::test
