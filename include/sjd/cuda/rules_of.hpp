// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>

#include "sjd/cuda/decode_rules.hpp"
#include "sjd/denoiser.hpp"

namespace sjd::cuda {

namespace detail {

/// How the kernels judge by a criterion; `draw`: what it asks of the rows kernel.
template <class Acceptance>
struct JudgeOf;
template <>
struct JudgeOf<SpeculativeAcceptance> {
  static constexpr Judge judge = Judge::ratio;
};
template <>
struct JudgeOf<UngatedAcceptance> {
  static constexpr Judge judge = Judge::ungated_ratio;
};
template <>
struct JudgeOf<GumbelEquality> {
  static constexpr Judge judge = Judge::shared_noise;
  static constexpr DrawKind draw = DrawKind::gumbel;
};
template <>
struct JudgeOf<QuantileEquality> {
  static constexpr Judge judge = Judge::shared_noise;
  static constexpr DrawKind draw = DrawKind::quantile;
};

/// How the kernels move drafts.
template <class Refinement>
struct RefreshOf;
template <>
struct RefreshOf<MaximalCoupling> {
  static constexpr Refresh refresh = Refresh::maximal;
  static constexpr DrawKind draw = DrawKind::categorical;
};
template <>
struct RefreshOf<FreshRedraw> {
  static constexpr Refresh refresh = Refresh::drawn;
  static constexpr DrawKind draw = DrawKind::categorical;
};
template <>
struct RefreshOf<GumbelCoupling> {
  static constexpr Refresh refresh = Refresh::drawn;
  static constexpr DrawKind draw = DrawKind::gumbel;
};
template <>
struct RefreshOf<QuantileCoupling> {
  static constexpr Refresh refresh = Refresh::drawn;
  static constexpr DrawKind draw = DrawKind::quantile;
};

template <class Mapping>
concept is_known = requires {
  sizeof(Mapping);
};

template <class Acceptance, class Refinement>
constexpr bool draws_fit() {
  if constexpr (requires { JudgeOf<Acceptance>::draw; }) {
    return JudgeOf<Acceptance>::draw == RefreshOf<Refinement>::draw;
  }
  return true;
}

/// Whether the window kernel moves and feeds noise as these policies do; what derives from them or
/// converts to them may do something else.
template <class Schedule, class NoiseFeed>
constexpr bool noise_fits() {
  return (std::is_same_v<Schedule, KarrasSchedule> || std::is_same_v<Schedule, NoNoise>)&&(
      std::is_same_v<NoiseFeed, RawNoise> || std::is_same_v<NoiseFeed, PosteriorMean>);
}

/// The sentences that name the policy which kernels do not know.
template <class Denoiser>
struct KernelContracts {
  using Acceptance = typename Denoiser::Acceptance;
  using Refinement = typename Denoiser::Refinement;
  static_assert(std::is_same_v<typename Denoiser::Window, FixedWindow> &&
                    std::is_same_v<typename Denoiser::Initialization, UniformTokens> &&
                    std::is_same_v<typename Denoiser::Random, PhiloxRandom>,
                "sjd::cuda: kernels know FixedWindow, UniformTokens and PhiloxRandom");
  static_assert(is_known<JudgeOf<Acceptance>> && is_known<RefreshOf<Refinement>>,
                "sjd::cuda: kernels do not know this acceptance or refinement");
  static_assert(draws_fit<Acceptance, Refinement>(),
                "sjd::cuda: kernels draw once a row: acceptance and refinement must share a draw");
  static_assert(noise_fits<typename Denoiser::Schedule, typename Denoiser::NoiseFeed>(),
                "sjd::cuda: kernels know the schedules KarrasSchedule and NoNoise, and the feeds "
                "RawNoise and PosteriorMean");
  static constexpr bool hold = true;
};

/// The tables of PosteriorMean, each as large as the embedding table, only where it is asked for.
inline void write_out(const EmbeddingSpace& space, MatrixView<const float> table,
                      DecodeRules& rules) {
  rules.dim = space.dim;
  rules.clean = space.normalized;
  rules.mean = space.mean;
  rules.scale = space.scale;
  if (!rules.posterior) return;
  rules.half_square = space.half_square;
  rules.log_prior = space.log_prior;
  for (std::int64_t d = 0; d < space.dim; ++d) {
    for (std::int64_t v = 0; v < space.vocab; ++v) {
      rules.scores.push_back(space.clean(v)[static_cast<std::size_t>(d)]);
    }
  }
  for (std::int64_t v = 0; v < space.vocab; ++v) {
    rules.embeddings.insert(rules.embeddings.end(), table.row(v).begin(), table.row(v).end());
  }
}

}  // namespace detail

/// What a denoiser does, for a DeviceDecoder that does the same. Its grammar must repeat itself
/// after `period` positions: columns + 1 for RowEndGrammar, the tokens of a picture for any, 0 for
/// NoGrammar. What kernels do not know does not compile.
///
/// errors  invalid_argument for a grammar with period 0
template <class Denoiser>
[[nodiscard]] DecodeRules rules_of(Denoiser& denoiser, std::int64_t period) {
  const auto [window, schedule, acceptance, refinement, initialization, normalization, feed,
              corrector, grammar, random] = denoiser.policies();
  static_assert(detail::KernelContracts<Denoiser>::hold);
  expects(period > 0 || std::is_same_v<typename Denoiser::Grammar, NoGrammar>,
          ErrorCode::invalid_argument, "rules_of: a grammar needs its period");
  DecodeRules rules;
  rules.vocab = denoiser.model().vocab_size();
  // A window wider than any picture is one as wide.
  rules.window_rows =
      static_cast<std::int32_t>(std::min<std::int64_t>(window.tokens, sjd::detail::most_tokens));
  rules.judge = detail::JudgeOf<typename Denoiser::Acceptance>::judge;
  using Refreshed = detail::RefreshOf<typename Denoiser::Refinement>;
  rules.refresh = Refreshed::refresh;
  rules.draw = Refreshed::draw;
  rules.depth = corrector.depth;
  if (period > 0) rules.grammar = write_out(grammar, period, rules.vocab);
  if constexpr (Denoiser::uses_noise) {
    rules.noisy = true;
    rules.schedule = schedule;
    rules.posterior = Denoiser::NoiseFeed::posterior_mean;
    auto& model = denoiser.model();
    detail::write_out(make_embedding_space(model.embedding_table(), model.noise_contract(),
                                           normalization, rules.posterior),
                      model.embedding_table(), rules);
  }
  return rules;
}

}  // namespace sjd::cuda
