// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "sjd/cpu/verify.hpp"
#include "sjd/model.hpp"
#include "sjd/policies/noise_schedule.hpp"
#include "sjd/policy.hpp"
#include "sjd/types.hpp"

/// The sentences that a host author reads first when a model lacks a part. They stand in the body
/// of the class template, one by one, because a concept on the template head hides which part is
/// missing.
#define SJD_CHECK_MODEL(M)                                                                        \
  static_assert(::sjd::detail::has_memory<M>,                                                     \
                "sjd::TokenModel: the type Memory is missing; it is sjd::HostMemory or "          \
                "sjd::DeviceMemory, where logits and embeddings live");                           \
  static_assert(::sjd::detail::has_prompt<M>,                                                     \
                "sjd::TokenModel: the type Prompt is missing; it is what prefill conditions on"); \
  static_assert(::sjd::detail::has_logit_type<M>,                                                 \
                "sjd::TokenModel: the type Logit is neither float nor sjd::Bfloat16 nor "         \
                "sjd::Float16; leave it out if logits are floats");                               \
  static_assert(::sjd::detail::has_vocab_size<M>,                                                 \
                "sjd::TokenModel: model.vocab_size() is missing; it is the size of the image "    \
                "vocabulary");                                                                    \
  static_assert(::sjd::detail::has_max_sequences<M>,                                              \
                "sjd::TokenModel: model.max_sequences() is missing; it says how many sequences "  \
                "one pass may carry");                                                            \
  static_assert(::sjd::detail::has_prefill<M>,                                                    \
                "sjd::TokenModel: model.prefill(sequence, prompt, logits) is missing; it runs a " \
                "prompt and writes the first logits of every guidance branch");                   \
  static_assert(::sjd::detail::has_forward<M>,                                                    \
                "sjd::TokenModel: model.forward(pass) is missing; it runs the rows of one pass "  \
                "and writes their logits");                                                       \
  static_assert(!::sjd::detail::has_memory<M> || ::sjd::detail::host_or_transfer<M>,              \
                "sjd::TokenModel: a device model needs model.allocate(bytes), "                   \
                "model.deallocate(pointer), model.upload(device, host, bytes) and "               \
                "model.download(host, device, bytes)");

#define SJD_CHECK_POLICIES(P)                                                                      \
  static_assert((::sjd::Policy<P> && ...),                                                         \
                "sjd: an argument behind the model is not a policy; a policy names its role with " \
                "using role = sjd::role::...");                                                    \
  static_assert(::sjd::detail::roles_are_unique<P...>,                                             \
                "sjd: two policies play the same role; give one policy a role");

namespace sjd::detail {

template <class M>
inline constexpr bool host_or_transfer = false;
template <has_memory M>
inline constexpr bool host_or_transfer<M> =
    std::is_same_v<typename M::Memory, HostMemory> || has_transfer<M>;

template <class P>
struct role_of {
  using type = void;
};
template <Policy P>
struct role_of<P> {
  using type = typename P::role;
};

template <class... Policies>
inline constexpr bool roles_are_unique =
    ((!Policy<Policies> || count_of_role<typename role_of<Policies>::type, Policies...> == 1) &&
     ...);

/// Calls validate() on every policy that has one.
template <class... Policies>
void validate_all(const Policies&... policies) {
  const auto validate = [](const auto& policy) {
    if constexpr (requires { policy.validate(); }) policy.validate();
  };
  (validate(policies), ...);
}

/// Calls validate(vocab) on a grammar that has it.
template <class Grammar>
void validate_grammar(const Grammar& grammar, std::int64_t vocab) {
  if constexpr (requires { grammar.validate(vocab); }) grammar.validate(vocab);
}

/// Refuses to decode a checkpoint with noise that it was not trained on, as far as the contract
/// tells: it does not part normalisation by token from none at all.
inline void check_noise_contract(const NoiseContract& contract, const KarrasSchedule& schedule,
                                 bool posterior_mean, bool per_channel) {
  expects(contract.grid > 0, ErrorCode::contract,
          "noise_contract: these weights were not trained on noise; decode them with NoNoise{}");
  const bool same_levels = contract.grid == schedule.grid && contract.rho_min == schedule.rho_min &&
                           contract.rho_max == schedule.rho_max;
  if (!same_levels) {
    throw Error{ErrorCode::contract,
                "noise_contract: the checkpoint has grid " + std::to_string(contract.grid) +
                    ", rho " + std::to_string(contract.rho_min) + " .. " +
                    std::to_string(contract.rho_max) + ", the schedule has grid " +
                    std::to_string(schedule.grid) + ", rho " + std::to_string(schedule.rho_min) +
                    " .. " + std::to_string(schedule.rho_max)};
  }
  expects(contract.per_channel == per_channel, ErrorCode::contract,
          "noise_contract: the checkpoint was trained with another embedding normalisation");
  expects(contract.posterior_mean == posterior_mean, ErrorCode::contract,
          "noise_contract: the checkpoint was trained with another noise feed");
}

/// Columns of the hidden rows that the corrector reads; 1 if it reads none.
template <class Corrector, class Model>
std::int64_t hidden_dim_of(const Model& model) {
  if constexpr (Corrector::reads_hidden) {
    return model.hidden_dim();
  } else {
    return 1;
  }
}

inline void add_at(std::vector<std::int64_t>& counts, std::int64_t index) {
  const auto i = static_cast<std::size_t>(index);
  if (counts.size() <= i) counts.resize(i + 1, 0);
  counts[i] += 1;
}

/// Books one iteration; `before` is the state that was judged.
inline void count(const cpu::Verdict& verdict, const DecoderState& before, std::int64_t rows,
                  DecodeStatistics& inout_statistics) {
  DecodeStatistics& s = inout_statistics;
  s.forward_passes += 1;
  s.rows += rows;
  s.accepted += verdict.accepted;
  add_at(s.passes_by_rows, static_cast<std::int64_t>(before.window.size()));
  if (verdict.token >= 0) (verdict.recovered ? s.recovered : s.bonus) += 1;
  for (std::int64_t i = 0; i < verdict.judged; ++i) {
    const std::int64_t age = before.window[static_cast<std::size_t>(i)].age;
    add_at(s.judged_by_slot, i);
    add_at(s.judged_by_age, age);
    if (i < verdict.accepted) {
      add_at(s.accepted_by_slot, i);
      add_at(s.accepted_by_age, age);
    }
  }
}

}  // namespace sjd::detail
