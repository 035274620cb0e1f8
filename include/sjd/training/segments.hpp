// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/policies/noise_schedule.hpp"

/// What a model must see in training to be decoded by SJD2: sequences whose image tokens carry the
/// noise levels that the decoder's window would give them.
///
/// Our reading of arXiv 2510.08994, Fig. 2 and 3. While decoding, a window of slots slides over the
/// image: its left end has been denoised for as many iterations as it has been inside, its right
/// end just entered as pure noise, and slots that entered together share a level. So, left to
/// right: committed tokens and clean drafts (level 0), then runs of equal level, adjacent runs one
/// level of the schedule apart, never falling, up to the noisiest. Run lengths are what acceptance
/// made of them: random cuts. Right after the start the whole window has one level. Attention is
/// causal, so what lies right of the window is never seen by a row of the window: those positions
/// continue at the noisiest level and can be left out of the loss.
namespace sjd::training {

/// How the layouts of training sequences are drawn.
struct SegmentOptions {
  double clean_probability = 0.4;  ///< sequences without any noise
  std::int32_t grid = 12;          ///< intervals of the checkpoint's schedule
  std::int64_t shortest_window = 16;
  std::int64_t longest_window = 160;
};

/// The levels of one sequence and how far the imagined window reached.
struct SegmentLayout {
  std::int64_t noise_begin = 0;  ///< first noisy position; the sequence's length if it is clean
  std::int64_t window_end = 0;   ///< positions from here on lie beyond the window
  /// K of the decoder that is imitated; 0 if the sequence is clean.
  std::int32_t schedule_levels = 0;
};

/// K of a decoder and its share among noisy sequences. Small K decodes best, so it is trained most.
using LevelShare = std::pair<std::int32_t, double>;
inline constexpr std::array<LevelShare, 7> level_shares{
    {{1, 0.24}, {2, 0.24}, {3, 0.16}, {4, 0.12}, {5, 0.10}, {7, 0.08}, {13, 0.06}}};

namespace detail {

/// Uniform integer in low..high (both included).
template <class Uniform>
std::int64_t draw_between(std::int64_t low, std::int64_t high, Uniform& uniform) {
  const auto width = static_cast<double>(high - low + 1);
  return std::min(low + static_cast<std::int64_t>(uniform() * width), high);
}

/// K, among those that the grid supports.
template <class Uniform>
std::int32_t draw_level_count(std::int32_t grid, Uniform& uniform) {
  const auto fits = [grid](std::int32_t k) {
    return k == 1 || (k <= grid + 1 && grid % (k - 1) == 0);
  };
  double total = 0.0;
  for (const auto& [k, share] : level_shares) total += fits(k) ? share : 0.0;
  double rest = uniform() * total;
  std::int32_t last = 1;
  for (const auto& [k, share] : level_shares) {
    if (!fits(k)) continue;
    last = k;
    rest -= share;
    if (rest < 0.0) break;
  }
  return last;
}

}  // namespace detail

/// Draws the noise level of every image position of one training sequence.
///
/// shapes  out_levels: one checkpoint level per image position, 0 clean, grid+1 noisiest
/// order   uniform() in [0, 1) is called for: clean?, K, begin, window width, lowest level, then
///         one cut per boundary between segments
/// errors  invalid_argument for an empty span, a probability outside [0, 1], an empty window range
template <class Uniform>
SegmentLayout sample_levels(const SegmentOptions& options, std::span<std::int32_t> out_levels,
                            Uniform&& uniform) {
  const auto length = static_cast<std::int64_t>(out_levels.size());
  expects(length >= 1, ErrorCode::invalid_argument, "sample_levels: no positions");
  expects(options.clean_probability >= 0.0 && options.clean_probability <= 1.0,
          ErrorCode::invalid_argument, "sample_levels: clean_probability must be in [0, 1]");
  expects(options.shortest_window >= 1 && options.longest_window >= options.shortest_window,
          ErrorCode::invalid_argument, "sample_levels: 1 <= shortest_window <= longest_window");
  std::fill(out_levels.begin(), out_levels.end(), 0);
  if (uniform() < options.clean_probability) return {length, length, 0};

  const std::int32_t k = detail::draw_level_count(options.grid, uniform);
  const KarrasSchedule schedule{.levels = k, .grid = options.grid};
  const std::int64_t begin = detail::draw_between(0, length - 1, uniform);
  const std::int64_t width =
      detail::draw_between(options.shortest_window, options.longest_window, uniform);
  const std::int64_t end = std::min(length, begin + width);
  // The leftmost noisy segment has any level of the schedule: its lower neighbours are clean by
  // now. When it has the highest, the window is the flat one that decoding starts with.
  const auto lowest = static_cast<std::int32_t>(detail::draw_between(1, k, uniform));
  std::vector<std::int64_t> cuts;
  for (std::int32_t i = lowest; i < k; ++i)
    cuts.push_back(detail::draw_between(begin, end, uniform));
  std::sort(cuts.begin(), cuts.end());
  for (std::int64_t i = begin; i < length; ++i) {
    const auto passed = std::upper_bound(cuts.begin(), cuts.end(), i) - cuts.begin();
    const std::int32_t level = lowest + static_cast<std::int32_t>(passed);
    out_levels[static_cast<std::size_t>(i)] = schedule.checkpoint_level(level);
  }
  return {begin, end, k};
}

}  // namespace sjd::training
