// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/any_policy.hpp"
#include "support/compositions.hpp"
#include "support/example_policies.hpp"
#include "support/instances.hpp"
#include "support/latency_host.hpp"
#include "support/table_corrector.hpp"

/// The matrix of all compositions that differ in a policy, times all small instances.
namespace sjd::test {

/// Axes of the matrix. A criterion, noise or none, a corrector or none span one block of it each;
/// what only noise or only a window without noise looks at has one value in the other blocks.
enum Axis : std::size_t {
  refinement,      ///< FreshRedraw, MaximalCoupling, QuantileCoupling, ModeRefinement
  initialization,  ///< UniformTokens, RepeatLeft
  levels,          ///< 1, 2, 3
  descent,         ///< by age, by deadline
  noise_feed,      ///< RawNoise, PosteriorMean
  normalization,   ///< PerChannel, PerToken, none
  window_kind,     ///< FixedWindow, GrowingWindow, CostAwareWindow frozen and learning
  correction,      ///< all drafts, one, all but one token taken away
  vocab,           ///< 2, 3, 4
  length,          ///< 1 .. 5
  window,          ///< 1 .. 4
  top_k,           ///< off, 1, 2
  guided,          ///< off, on
  table,           ///< seeds of the table law
  axes,
};

using MatrixPoint = std::array<std::uint64_t, axes>;

/// Values of each axis in a block.
inline MatrixPoint axis_sizes(bool noisy, bool corrected) {
  return {4,
          noisy ? 1U : 2U,
          noisy ? 3U : 1U,
          noisy ? 2U : 1U,
          noisy ? 2U : 1U,
          noisy ? 3U : 1U,
          4,
          corrected ? 3U : 1U,
          3,
          5,
          4,
          3,
          2,
          20};
}

inline std::uint64_t points_of(const MatrixPoint& sizes) {
  std::uint64_t points = 1;
  for (const std::uint64_t size : sizes) points *= size;
  return points;
}

inline MatrixPoint point_at(std::uint64_t index, const MatrixPoint& sizes) {
  MatrixPoint point{};
  for (std::size_t axis = 0; axis < axes; ++axis) {
    point[axis] = index % sizes[axis];
    index /= sizes[axis];
  }
  return point;
}

inline std::string text_of(const MatrixPoint& point) {
  std::string text;
  for (const std::uint64_t value : point) text += std::to_string(value) + " ";
  return text;
}

inline Instance instance_of(const MatrixPoint& point) {
  return {.vocab = static_cast<std::int64_t>(point[vocab] + 2),
          .length = static_cast<std::int64_t>(point[length] + 1),
          .window = static_cast<std::int64_t>(point[window] + 1),
          .top_k = static_cast<std::int64_t>(point[top_k]),
          .guided = point[guided] == 1,
          .seed = 900 + point[table]};
}

inline KarrasSchedule schedule_of(const MatrixPoint& point) {
  KarrasSchedule schedule =
      table_schedule(static_cast<std::int32_t>(point[levels] + 1),
                     point[descent] == 0 ? LevelDescent::by_age : LevelDescent::by_deadline);
  schedule.tokens_per_level = 1;
  return schedule;
}

/// The window plan of a point. A frozen one takes as many rows as its tables call best, fewer than
/// it may; a learning one goes up and down with what its sequence accepts.
inline auto window_of(const MatrixPoint& point) {
  using Window = AnyWindow<FixedWindow, GrowingWindow, CostAwareWindow>;
  const std::int64_t rows = instance_of(point).window;
  const std::int64_t warm_up = 1 + static_cast<std::int64_t>(point[levels]);
  switch (point[window_kind]) {
    case 1:
      return Window{GrowingWindow{.smallest = 1, .largest = rows, .tokens_per_row = 1}};
    case 2: {
      WindowCosts known = moody_window(rows, warm_up).given();
      known.survival = {0.9, 0.8, 0.3};
      known.frozen = true;
      return Window{CostAwareWindow{known}};
    }
    case 3:
      return Window{moody_window(rows, warm_up)};
    default:
      return Window{FixedWindow{.tokens = rows}};
  }
}

/// The policies of a point but for the criterion.
template <bool noisy, bool corrected>
auto policies_of(const MatrixPoint& point, Enumeration& all) {
  using Refinement = AnyRefinement<FreshRedraw, MaximalCoupling, QuantileCoupling, ModeRefinement>;
  const auto common =
      std::tuple{window_of(point), EnumeratingRandom{&all},
                 Refinement{alternative<decltype(Refinement::chosen)>(point[refinement])}};
  const auto entry = [&] {
    if constexpr (noisy) {
      using Feed = AnyNoiseFeed<RawNoise, PosteriorMean>;
      using Normal =
          AnyNormalization<PerChannelNormalization, PerTokenNormalization, NoNormalization>;
      return std::tuple{schedule_of(point),
                        Feed{alternative<decltype(Feed::chosen)>(point[noise_feed])},
                        Normal{alternative<decltype(Normal::chosen)>(point[normalization])}};
    } else {
      using Entry = AnyInitialization<UniformTokens, RepeatLeft>;
      return std::tuple{NoNoise{},
                        Entry{alternative<decltype(Entry::chosen)>(point[initialization])}};
    }
  };
  const auto correctors = [&] {
    if constexpr (corrected) {
      return std::tuple{TableCorrector{.depth = point[correction] == 1 ? 1 : 8,
                                       .spread = 3.0F,
                                       .one_token_only = point[correction] == 2}};
    } else {
      return std::tuple{};
    }
  };
  return std::tuple_cat(common, entry(), correctors());
}

/// The AR law of an instance. The long run meets all compositions of one instance in a row, so the
/// last one is kept.
inline const Joint& autoregressive_law(const Instance& instance, const TableLaw& table,
                                       bool greedy) {
  static std::optional<std::pair<Instance, bool>> known;
  static Joint joint;
  if (known != std::pair{instance, greedy}) {
    joint = autoregressive_joint(table, request_of(instance), greedy);
    known = {instance, greedy};
  }
  return joint;
}

/// Enumerates one point under a criterion and returns its distance from AR.
template <class Acceptance, bool noisy, bool corrected>
long double enumerate_point(const MatrixPoint& point, Tally& tally) {
  constexpr bool greedy = std::is_same_v<Acceptance, GreedyEquality>;
  const Instance instance = instance_of(point);
  // Rows of one channel have no variance, so that a normalisation by row needs two.
  const bool by_row = noisy && point[normalization] == 1;
  TableHost host{{.vocab = instance.vocab,
                  .dim = by_row ? 2 : 1,
                  .seed = instance.seed,
                  .posterior_mean = true,
                  .per_channel = false}};
  Enumeration all;
  const Counts counts = point[window_kind] == 3 ? Counts::matter_if_read : Counts::do_not_matter;
  return std::apply(
      [&](const auto&... policy) {
        SpeculativeJacobiDenoiser decoder{host, Acceptance{}, policy...};
        static_assert(decltype(decoder)::is_lossless == Acceptance::is_lossless);
        return tally.add(
            enumerate_decoder(decoder, all, request_of(instance), Ages::do_not_matter, counts),
            autoregressive_law(instance, host.law(), greedy));
      },
      policies_of<noisy, corrected>(point, all));
}

}  // namespace sjd::test
