// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <vector>

#include "sjd/denoiser.hpp"
#include "support/catch.hpp"
#include "support/enumerate.hpp"
#include "support/layer_line.hpp"

namespace sjd::test {

/// One small decode whose law is enumerated.
struct Instance {
  std::int64_t vocab = 3;
  std::int64_t length = 4;
  std::int64_t window = 3;
  std::int64_t top_k = 0;
  bool guided = false;
  std::uint64_t seed = 1;

  friend bool operator==(const Instance&, const Instance&) = default;
};

/// Some rules only fail with three or more tokens, four or more positions, three or more rows, or a
/// filter that leaves more than two tokens; all of these are here.
inline std::vector<Instance> instance_set(std::uint64_t salt) {
  return {
      {2, 1, 1, 0, false, salt + 1}, {3, 2, 2, 0, false, salt + 2},  {2, 5, 4, 0, true, salt + 3},
      {3, 4, 1, 0, false, salt + 4}, {3, 4, 3, 0, false, salt + 5},  {3, 4, 3, 0, true, salt + 6},
      {3, 4, 3, 2, false, salt + 7}, {3, 4, 4, 1, true, salt + 8},   {3, 5, 3, 0, false, salt + 9},
      {3, 5, 4, 2, true, salt + 10}, {4, 3, 4, 0, false, salt + 11}, {4, 4, 3, 3, false, salt + 12},
      {4, 4, 3, 2, true, salt + 13}, {3, 3, 4, 0, true, salt + 14}};
}

/// The set above for one table seed, or for twenty of them in the long run (tests/run --full).
inline std::vector<Instance> instances(std::uint64_t salt) {
  const std::uint64_t seeds = std::getenv("SJD_TESTS_FULL") == nullptr ? 1 : 20;
  std::vector<Instance> all;
  for (std::uint64_t s = 0; s < seeds; ++s) {
    for (const Instance& instance : instance_set(salt + 1'000'000 * s)) all.push_back(instance);
  }
  return all;
}

inline GenerationRequest<TablePrompt> request_of(const Instance& instance) {
  GenerationRequest<TablePrompt> request;
  request.prompt.words = {instance.seed + 3, 5, 8};
  request.tokens = instance.length;
  request.sampling.top_k = instance.top_k;
  if (instance.guided) request.guidance = {1.75F};
  return request;
}

/// What all instances of one composition came to; prints one line of the table.
struct Tally {
  std::string name;
  std::int64_t instances = 0;
  std::int64_t paths = 0;
  long double worst = 0.0L;

  /// Returns the distance of the two laws.
  long double add(const Enumerated& found, const Joint& expected) {
    long double mass = 0.0L;
    for (const auto& [tokens, p] : found.joint) mass += p;
    CHECK(std::fabs(mass - 1.0L) < 1e-12L);
    instances += 1;
    paths += found.paths;
    const long double distance = total_variation(found.joint, expected);
    worst = std::max(worst, distance);
    return distance;
  }

  void print() const {
    print_layer("L2", name,
                std::to_string(instances) + " instances, " + std::to_string(paths) + " paths",
                "TV " + number_text(worst, 1, 'e'));
  }
};

/// Enumerates a composition over all instances with the window plan that make_window(instance,
/// host) gives. `policies` are its policies but for window and gate.
template <class MakeWindow, class... Policies>
Tally enumerate_windows(const std::string& name, TableOptions options,
                        const std::vector<Instance>& cases, MakeWindow&& make_window,
                        Policies... policies) {
  using Window = std::invoke_result_t<MakeWindow&, const Instance&, TableHost&>;
  using Decoder = SpeculativeJacobiDenoiser<TableHost, Window, EnumeratingRandom, Policies...>;
  constexpr bool greedy = std::is_same_v<typename Decoder::Acceptance, GreedyEquality>;
  options.posterior_mean = Decoder::NoiseFeed::posterior_mean;
  options.per_channel = Decoder::Normalization::per_channel;
  Tally tally{name};
  for (const Instance& instance : cases) {
    options.vocab = instance.vocab;
    options.seed = instance.seed;
    TableHost host{options};
    Enumeration all;
    Decoder decoder{host, make_window(instance, host), EnumeratingRandom{&all}, policies...};
    const auto request = request_of(instance);
    tally.add(enumerate_decoder(decoder, all, request),
              autoregressive_joint(host.law(), request, greedy));
  }
  tally.print();
  return tally;
}

/// The same with the fixed window of each instance.
template <class... Policies>
Tally enumerate_composition(const std::string& name, TableOptions options,
                            const std::vector<Instance>& cases, Policies... policies) {
  const auto fixed = [](const Instance& instance, TableHost&) {
    return FixedWindow{.tokens = instance.window};
  };
  return enumerate_windows(name, options, cases, fixed, policies...);
}

/// A composition whose trait says lossless must reproduce AR to rounding.
template <class... Policies>
void check_lossless(const std::string& name, std::uint64_t salt, Policies... policies) {
  static_assert(SpeculativeJacobiDenoiser<TableHost, Policies...>::is_lossless);
  const Tally tally = enumerate_composition(name, {}, instances(salt), policies...);
  INFO(name);
  CHECK(tally.worst <= 1e-12L);
}

}  // namespace sjd::test
