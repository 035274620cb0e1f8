// SPDX-License-Identifier: Apache-2.0
// Whole decodes on the device host, on the host executor. Its logits differ from LlamaHost's in the
// last digits, so equal tokens are no promise: they are what these seeds give, and what they would
// not give if more than digits differed.
#include <cstdint>
#include <vector>

#include "sjd/hosts/llama_cuda.hpp"
#include "sjd/sjd.hpp"
#include "support/catch.hpp"
#include "support/llama_script.hpp"

namespace sjd::test {
namespace {

using hosts::HostBackend;
using hosts::LlamaCuda;
using Request = GenerationRequest<LlamaHost::Prompt>;

std::vector<Request> some_requests() {
  std::vector<Request> requests;
  for (std::uint64_t i = 0; i < 3; ++i) {
    Request request{.prompt = {2 + static_cast<std::int32_t>(i), 4}, .tokens = 40, .sample = i};
    request.seed = 5;
    if (i == 1) request.guidance = {2.0F};
    requests.push_back(request);
  }
  return requests;
}

/// Requests whose tokens are the same from both hosts.
template <template <class...> class Decoder, class... Policies>
int equal_decodes(Policies... policies) {
  const LlamaDirectory files{tiny_shape()};
  LlamaHost host = files.load({.max_sequences = 2, .storage = hosts::Storage::fp32});
  HostBackend backend;
  LlamaCuda<HostBackend, float> cuda{backend, files.directory.path(), "sjd2.safetensors", {2, 6}};
  Decoder<LlamaHost, Policies...> on_host{host, policies...};
  Decoder<LlamaCuda<HostBackend, float>, Policies...> on_device{cuda, policies...};
  const std::vector<Request> requests = some_requests();
  const auto expected = on_host.generate(requests);
  const auto found = on_device.generate(requests);
  int equal = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    REQUIRE(found[i].tokens.size() == 40);
    equal += found[i].tokens == expected[i].tokens ? 1 : 0;
  }
  return equal;
}

}  // namespace

TEST_CASE("the likeliest tokens of the device host are LlamaHost's") {
  CHECK(equal_decodes<PlainAr>(GreedyEquality{}) == 3);
}

TEST_CASE("coupled SJD2 on the device host draws what it draws on LlamaHost") {
  CHECK(equal_decodes<SpeculativeJacobiDenoiser>(
            FixedWindow{.tokens = 6},
            KarrasSchedule{.levels = 2, .grid = 4, .rho_min = 2.0F, .rho_max = 16.0F}) == 3);
}

}  // namespace sjd::test
