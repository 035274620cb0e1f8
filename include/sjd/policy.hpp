// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sjd {

/// A policy is a small aggregate with `using role = role::...`; the denoiser finds it by that role,
/// in any order, and takes the role's default where none is given. The contract of each role stands
/// in its header.
namespace role {
struct window {};          ///< policies/window.hpp: rows a pass
struct noise_schedule {};  ///< policies/noise_schedule.hpp: levels, alpha, sigma
struct acceptance {};      ///< policies/acceptance.hpp: which drafts become tokens
struct refinement {};      ///< policies/refinement.hpp: how a surviving draft moves to its new law
struct initialization {};  ///< policies/initialization.hpp: what enters the window without noise
struct normalization {};   ///< policies/normalization.hpp: embedding statistics around the noise
struct noise_feed {};  ///< policies/noise_feed.hpp: the vector that the host sees for a noisy slot
struct corrector {};   ///< policies/corrector.hpp: redraws the drafts behind a correction
struct grammar {};     ///< policies/grammar.hpp: structural tokens
struct random {};      ///< core/random.hpp: the one gate of all chance
}  // namespace role

template <class P>
concept Policy = requires {
  typename P::role;
};

template <class P, class Role>
concept PolicyOf = Policy<P> && std::same_as<typename P::role, Role>;

namespace detail {

template <class Role, class... Policies>
inline constexpr std::size_t count_of_role = (std::size_t{0} + ... +
                                              std::size_t{PolicyOf<Policies, Role>});

template <class Role, class Default, class... Policies>
struct policy_for {
  using type = Default;
};
template <class Role, class Default, class First, class... Rest>
struct policy_for<Role, Default, First, Rest...> {
  using type = typename std::conditional_t<PolicyOf<First, Role>, std::type_identity<First>,
                                           policy_for<Role, Default, Rest...>>::type;
};

/// The policy of `Role` out of a tuple, or the default-constructed default.
template <class Role, class Default, class... Policies>
constexpr auto pick(const std::tuple<Policies...>& policies) {
  using Chosen = typename policy_for<Role, Default, Policies...>::type;
  if constexpr (count_of_role < Role, Policies... >> 0) {
    return std::get<Chosen>(policies);
  } else {
    return Chosen{};
  }
}

/// The policy of type `Wanted` out of those given, or a default-constructed one.
template <class Wanted, class... Given>
constexpr Wanted given_or_default(const Given&... given) {
  const std::tuple<const Given&...> all{given...};
  if constexpr ((std::same_as<Wanted, Given> || ...)) {
    return std::get<const Wanted&>(all);
  } else {
    return Wanted{};
  }
}

/// `Given` is a proper part of `Policies`.
template <class Given, class Policies>
inline constexpr bool proper_part = false;
template <class... Given, class... Policies>
inline constexpr bool proper_part<std::tuple<Given...>, std::tuple<Policies...>> =
    sizeof...(Given) < sizeof...(Policies) &&
    ((count_of_role<typename Given::role, Policies...> == 1) && ...);

}  // namespace detail

}  // namespace sjd
