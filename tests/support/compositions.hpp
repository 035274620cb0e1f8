// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sjd/sjd.hpp"
#include "support/catch.hpp"
#include "support/table_host.hpp"

namespace sjd::test {

/// The schedule that the table host's contract is about.
inline KarrasSchedule table_schedule(std::int32_t levels = 2,
                                     LevelDescent descent = LevelDescent::by_age) {
  return {.levels = levels,
          .grid = 4,
          .rho_min = 0.5F,
          .rho_max = 2.0F,
          .descent = descent,
          .tokens_per_level = 2};
}

using Request = GenerationRequest<TablePrompt>;

/// Requests of different lengths, prompts, guidance and filters.
inline std::vector<Request> mixed_requests(std::size_t count) {
  std::vector<Request> requests;
  for (std::uint64_t i = 0; i < count; ++i) {
    Request request{.prompt = {{i, 2 * i + 1, 7}},
                    .tokens = static_cast<std::int64_t>(5 + (11 * i) % 37),
                    .seed = 40 + i / 3,
                    .sample = i};
    if (i % 3 == 1) request.guidance = {2.0F};
    if (i % 5 == 2) request.guidance = {1.5F, -0.5F};
    if (i % 4 == 3) request.sampling = {.temperature = 0.75F, .top_k = 4, .top_p = 0.9F};
    requests.push_back(std::move(request));
  }
  return requests;
}

/// A tie of a name and a decoder of `Host` made of given policies.
template <class... Policies>
struct Composition {
  std::string name;
  std::tuple<Policies...> policies;

  static constexpr bool mean =
      SpeculativeJacobiDenoiser<TableHost, Policies...>::NoiseFeed::posterior_mean;

  /// Calls use(decoder) on a fresh decoder of `host`.
  template <class Host, class Use>
  auto with(Host& host, std::int64_t window, Use&& use) const {
    return std::apply(
        [&](const auto&... policy) {
          SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = window}, policy...};
          return use(decoder);
        },
        policies);
  }
};

template <class... Policies>
Composition<Policies...> composition(std::string name, Policies... policies) {
  return {std::move(name), {policies...}};
}

/// Calls body(composition) for one composition of every kind.
template <class Body>
void for_each_composition(Body&& body) {
  constexpr LevelDescent deadline = LevelDescent::by_deadline;
  body(composition("Jacobi greedy", NoNoise{}, GreedyEquality{}, ModeRefinement{}));
  body(composition("SJD fresh", NoNoise{}, FreshRedraw{}));
  body(composition("SJD coupled", NoNoise{}, MaximalCoupling{}));
  body(composition("SJD coupled, repeat left", NoNoise{}, MaximalCoupling{}, RepeatLeft{}));
  body(composition("SJD gumbel, ratio test", NoNoise{}, GumbelCoupling{}));
  body(composition("SJD gumbel", NoNoise{}, GumbelEquality{}, GumbelCoupling{}));
  body(composition("SJD quantile", NoNoise{}, QuantileEquality{}, QuantileCoupling{}));
  body(composition("SJD2 fresh, raw", table_schedule(), FreshRedraw{}, RawNoise{}));
  body(composition("SJD2 coupled, mean", table_schedule(3), MaximalCoupling{}));
  body(composition("SJD2 coupled, deadline", table_schedule(3, deadline), RawNoise{}));
  body(composition("SJD2 gumbel, mean", table_schedule(), GumbelEquality{}, GumbelCoupling{}));
  body(composition("SJD2 gumbel, ratio, deadline", table_schedule(2, deadline), GumbelCoupling{}));
  body(composition("SJD2 ungated", table_schedule(), UngatedAcceptance{}, FreshRedraw{}));
}

/// A table host whose contract fits a composition.
template <class C>
TableOptions options_for(const C&, TableOptions options = {}) {
  options.posterior_mean = C::mean;
  return options;
}

}  // namespace sjd::test
