// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/decode_cases.hpp"
#include "cuda/loop_arrays.hpp"
#include "sjd/cuda/rules_of.hpp"

/// Many pictures through few places, on the CPU and in a loop that never leaves the device.
namespace sjd::test {

/// Requests of a case, more than there are places.
inline std::vector<GenerationRequest<TablePrompt>> loop_requests(const DecodeCase& c) {
  std::vector<GenerationRequest<TablePrompt>> requests;
  for (std::uint64_t i = 0; i < 7; ++i) {
    requests.push_back(request_of(c, (i * 3) % 7));
    if (i == 4) requests.back().tokens = 1;  // finished behind its prompt
  }
  return requests;
}

/// Everything that the loop needs, and nothing that nvcc could not read.
template <class Host, class Denoiser>
LoopCase loop_case(const DecodeCase& c, Host& host, Denoiser& denoiser, std::int64_t period) {
  LoopCase loop;
  loop.table = c.table;
  loop.rules = cuda::rules_of(denoiser, period);
  loop.room.sequences = c.table.sequences;
  loop.room.most_tokens = 100;
  loop.room.branches = static_cast<std::int64_t>(c.scales) + 1;
  if constexpr (HiddenModel<Host>) loop.room.hidden_dim = host.hidden_dim();
  for (const auto& request : loop_requests(c)) {
    loop.starts.push_back(denoiser.start(0, request));
    loop.begins.emplace_back();
    for (std::int64_t b = 0; b < loop.room.branches; ++b) {
      loop.begins.back().push_back(host.law().begin(request.prompt, b, loop.room.branches));
    }
  }
  return loop;
}

/// What differs first between the pictures of the denoiser and those of the loop, or nothing.
/// `run(loop)` returns the final states.
template <class Host = TableHost, class Run, class Schedule, class Grammar, class Feed,
          class... Policies>
std::string loop_difference(const DecodeCase& c, const Run& run, const Schedule& schedule,
                            const Grammar& grammar, std::int64_t period, Feed feed,
                            Policies... policies) {
  Host host{c.table};
  SpeculativeJacobiDenoiser denoiser{
      host, FixedWindow{.tokens = c.window}, schedule, grammar, feed, policies...};
  const auto requests = loop_requests(c);
  const std::vector<GenerationResult> expected = denoiser.generate(requests);
  const LoopCase loop = loop_case(c, host, denoiser, period);
  const std::vector<DecoderState> states = run(loop, denoiser);
  if (states.size() != expected.size()) return "pictures are missing";
  for (std::size_t i = 0; i < states.size(); ++i) {
    if (states[i].tokens != expected[i].tokens) {
      return "the tokens of picture " + std::to_string(i) + " differ";
    }
    if (!(states[i].statistics == expected[i].statistics)) {
      return "the counters of picture " + std::to_string(i) + " differ";
    }
  }
  return "";
}

}  // namespace sjd::test
