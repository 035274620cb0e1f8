// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "sjd/core/config.hpp"
#include "sjd/core/error.hpp"
#include "sjd/detail/policy_text.hpp"
#include "sjd/policies/window.hpp"

namespace sjd {

/// One measured pass: how many rows each sequence and branch put into it, and what it cost.
struct CostPoint {
  std::int64_t rows = 1;
  double cost = 1.0;  ///< any unit; only ratios count

  friend bool operator==(const CostPoint&, const CostPoint&) = default;
};

/// What a CostAwareWindow knows in advance. A table belongs to one number of sequences a pass,
/// branches and threads: whoever decodes with others gives another one.
struct WindowCosts {
  std::vector<CostPoint> costs{{1, 1.0}};  ///< rows ascending from 1, linear between the points
  /// [slot - 1] share of passes that accept slots 1 .. slot, of those that may judge them all.
  std::vector<double> survival{};
  std::int64_t warm_up = 1;  ///< passes before a slot may be accepted: the noise levels, at least 1
  double most_loss = 0.02;   ///< cost above that of plain AR, as a share of it, never exceeded
  bool frozen = false;       ///< always the rows that are best by the tables, whatever was seen

  friend bool operator==(const WindowCosts&, const WindowCosts&) = default;
};

/// Chooses the rows W of every pass so that expected tokens over cost, E(W) / c(W), is largest.
///
/// E(W) follows from the survival of slots: of W rows, the slots that entered in the last `warm_up`
/// passes cannot be accepted yet, so E = 1 + s_1 + .. + s_m with m = W - warm_up E. Survival begins
/// with the table and moves to what the sequence itself has seen: first all slots together (one
/// factor on their rejections), then each slot by its own counts.
///
/// Cost never exceeds (1 + most_loss) times that of plain AR by the table, whatever the acceptance
/// and however wrong the survival: a pass may put at stake a third of what is left of the allowance
/// and of all that was gained so far. Where one row looks best, 4 of 16 passes try what the own
/// counts do not rule out, for an eighth of it: a table that expects too little is found out.
///
/// `frozen` leaves all of that out and takes the rows that the tables call best for every pass:
/// more tokens a second on average where the tables are right, and no bound for a single picture.
///
/// Lossless: rows() sees counts of judged and accepted slots and of rows. All slots of these counts
/// are committed or replaced by now, so they lie left of every draft that it keeps, drops or adds;
/// given them, a draft still follows its law.
///
/// Reproducible: no clock, no batch-mate, and whole numbers from the constructor on, so that no
/// compiler flag moves a choice.
///
/// memory  two numbers a row of the table
/// errors  the constructor throws invalid_argument for costs or survival outside their ranges
class CostAwareWindow {
 public:
  using role = role::window;

  CostAwareWindow() : CostAwareWindow(WindowCosts{}) {}
  explicit CostAwareWindow(WindowCosts given) : given_{std::move(given)} {
    validate();
    for (std::int64_t rows = 1; rows <= capacity(); ++rows) {
      cost_.push_back(scaled(cost_at(rows) / given_.costs.front().cost));
    }
    double before = 1.0;
    for (std::int64_t slot = 1; slot < capacity(); ++slot) {
      // Behind the table, the last slot's share goes on.
      if (slot <= std::ssize(given_.survival)) {
        const double now = given_.survival[static_cast<std::size_t>(slot - 1)];
        const double share = before > 0.0 ? now / before : 0.0;
        rejection_.push_back(std::max(surest, one - scaled(share)));
        before = now;
      } else {
        rejection_.push_back(rejection_.empty() ? one / 2 : rejection_.back());
      }
    }
    if (capacity() == 1) return;
    constexpr std::int64_t any_stake = std::numeric_limits<std::int64_t>::max();
    best_by_tables_ = best_rows(capacity(), any_stake, 0, [&](std::int64_t slot) {
      return one - rejection_[static_cast<std::size_t>(slot - 1)];
    });
  }

  /// Rows of the next pass.
  ///
  /// edge  at most one for each missing token, and never beyond the last point of the table
  [[nodiscard]] std::int64_t rows(const WindowHistory& history) const {
    const std::int64_t most = std::min(capacity(), history.total - history.committed);
    if (most <= 1) return most;
    if (given_.frozen) return std::min(best_by_tables_, most);
    const std::int64_t purse = allowance(history);
    const DecodeStatistics& seen = history.statistics;
    const std::int64_t factor = rejection_factor(seen);
    const auto learned = [&](std::int64_t slot) { return learned_share(seen, factor, slot); };
    const std::int64_t best = best_rows(most, purse / 3, history.width, learned);
    if (best > 1 || seen.forward_passes % 16 >= 4) return best;
    // Hope comes back with time, since one row a pass teaches nothing.
    const std::int64_t hope = weight_of_hope + seen.forward_passes / 16;
    const auto hoped = [&](std::int64_t slot) { return share(seen, hope, one, slot); };
    return best_rows(most, purse / 8, 0, hoped);
  }

  /// The most rows that one sequence and branch ever puts into a pass.
  [[nodiscard]] std::int64_t capacity() const { return given_.costs.back().rows; }

  [[nodiscard]] const WindowCosts& given() const { return given_; }

  void validate() const {
    const auto require = [](bool good, const char* text) {
      expects(good, ErrorCode::invalid_argument, text);
    };
    require(!given_.costs.empty() && given_.costs.front().rows == 1 &&
                given_.costs.back().rows <= most_rows,
            "CostAwareWindow: costs must begin at 1 row and end at 4096 at most");
    const double first = given_.costs.front().cost;
    for (std::size_t i = 0; i < given_.costs.size(); ++i) {
      const CostPoint& point = given_.costs[i];
      require(i == 0 || point.rows > given_.costs[i - 1].rows,
              "CostAwareWindow: rows of the cost table must ascend");
      require(std::isfinite(point.cost) && point.cost > 0.0 && point.cost / first <= 1e4 &&
                  point.cost / first >= 1e-3,
              "CostAwareWindow: a cost must be in 0.001 .. 10000 times the cost of one row");
    }
    double before = 1.0;
    for (const double s : given_.survival) {
      require(s >= 0.0 && s <= before, "CostAwareWindow: survival must fall within 0 .. 1");
      before = s;
    }
    require(given_.warm_up >= 1 && given_.warm_up <= most_rows,
            "CostAwareWindow: warm_up must be in 1 .. 4096");
    require(given_.most_loss >= 0.0 && given_.most_loss <= 1e3,
            "CostAwareWindow: most_loss must be in 0 .. 1000");
  }

  /// All numbers that it was given, for saved states.
  [[nodiscard]] std::string fingerprint() const {
    std::string text = "costs";
    const auto add = [&](char mark, const std::string& number) {
      text += mark;
      text += number;
    };
    for (const CostPoint& point : given_.costs) {
      add(' ', detail::number_text(point.rows));
      add(':', detail::number_text(point.cost));
    }
    text += ", survival";
    for (const double s : given_.survival) add(' ', detail::number_text(s));
    add(',', detail::number_text(given_.warm_up));
    add(',', detail::number_text(given_.most_loss));
    return given_.frozen ? text + ", frozen" : text;
  }

  friend bool operator==(const CostAwareWindow& a, const CostAwareWindow& b) {
    return a.given_ == b.given_;
  }

 private:
  // Shares, tokens and costs (of one row) are counted in 2^-16.
  static constexpr std::int64_t one = 1 << 16;
  static constexpr std::int64_t surest = one / 32;  // no table is surer of a slot than 31 in 32
  static constexpr std::int64_t most_rows = 4096;
  static constexpr std::int64_t weight_of_factor = 2;  // rejections that the table counts for
  static constexpr std::int64_t weight_of_hope = 4;    // accepted drafts that a trial pretends
  static constexpr std::int64_t weight_of_slot = 6;    // judgements that a slot's share counts for

  [[nodiscard]] static std::int64_t scaled(double value) {
    return std::llround(value * static_cast<double>(one));
  }
  /// A count, as far as the sums below can hold it: no picture has more passes.
  [[nodiscard]] static std::int64_t count_at(const std::vector<std::int64_t>& counts,
                                             std::int64_t index) {
    constexpr std::int64_t most = 1 << 20;
    return index < std::ssize(counts) ? std::min(counts[static_cast<std::size_t>(index)], most) : 0;
  }
  [[nodiscard]] static std::int64_t accepted_at(const DecodeStatistics& seen, std::int64_t index) {
    return std::min(count_at(seen.accepted_by_slot, index), count_at(seen.judged_by_slot, index));
  }

  [[nodiscard]] double cost_at(std::int64_t rows) const {
    const auto right = std::find_if(given_.costs.begin(), given_.costs.end(),
                                    [&](const CostPoint& point) { return point.rows >= rows; });
    if (right->rows == rows) return right->cost;
    const CostPoint& left = *(right - 1);
    const auto part = static_cast<double>(rows - left.rows);
    return std::fma(right->cost - left.cost, part / static_cast<double>(right->rows - left.rows),
                    left.cost);
  }

  /// What may still be lost: the allowance of the whole picture, and what was gained over AR.
  [[nodiscard]] std::int64_t allowance(const WindowHistory& history) const {
    std::int64_t left = scaled(given_.most_loss) * (history.total - 1);
    left += one * (history.committed - 1);
    for (std::int64_t rows = 1; rows <= capacity(); ++rows) {
      left -= count_at(history.statistics.passes_by_rows, rows - 1) * cost(rows);
    }
    return std::max<std::int64_t>(left, 0);
  }

  /// How much more often the sequence rejects than the table says.
  [[nodiscard]] std::int64_t rejection_factor(const DecodeStatistics& seen) const {
    std::int64_t expected = weight_of_factor * one;
    std::int64_t rejected = weight_of_factor;
    for (std::int64_t i = 0; i + 1 < capacity(); ++i) {
      const std::int64_t judged = count_at(seen.judged_by_slot, i);
      expected += judged * rejection_[static_cast<std::size_t>(i)];
      rejected += judged - accepted_at(seen, i);
    }
    // 128 bits: a saved state may claim all counts at once.
    return static_cast<std::int64_t>(static_cast<uint128>(rejected) * (one * one) /
                                     static_cast<uint128>(expected));
  }

  /// Share of accepted among judged ones of a slot; `before` is worth `weight` judgements.
  [[nodiscard]] static std::int64_t share(const DecodeStatistics& seen, std::int64_t weight,
                                          std::int64_t before, std::int64_t slot) {
    const std::int64_t judged = count_at(seen.judged_by_slot, slot - 1);
    return (weight * before + accepted_at(seen, slot - 1) * one) / (weight + judged);
  }

  [[nodiscard]] std::int64_t learned_share(const DecodeStatistics& seen, std::int64_t factor,
                                           std::int64_t slot) const {
    const std::int64_t table = rejection_[static_cast<std::size_t>(slot - 1)];
    const std::int64_t before = one - std::min(one, table * factor / one);
    return share(seen, weight_of_slot, before, slot);
  }

  /// The rows up to `most` with the best E / c, among those whose cost above one row's is at most
  /// `stake`; `width` is kept unless another one is better by 1 in 32.
  template <class Share>
  [[nodiscard]] std::int64_t best_rows(std::int64_t most, std::int64_t stake, std::int64_t width,
                                       Share&& share_of) const {
    // Tokens grow by `step` while the rows that they take grow by one + warm_up x step.
    std::int64_t slot = 1;
    std::int64_t step = share_of(slot);
    std::int64_t tokens = one;
    std::int64_t reached = given_.warm_up * one;  // rows, in 2^-16, that `tokens` takes
    std::int64_t best = 1;
    std::int64_t best_tokens = one;
    std::int64_t width_tokens = 0;
    for (std::int64_t rows = 2; rows <= most; ++rows) {
      while (slot + 1 < capacity() && rows * one >= reached + one + given_.warm_up * step) {
        tokens += step;
        reached += one + given_.warm_up * step;
        step = step * share_of(++slot) / one;
      }
      const std::int64_t part = std::max<std::int64_t>(0, rows * one - reached);
      const std::int64_t expected = tokens + step * part / (one + given_.warm_up * step);
      if (cost(rows) - cost(1) > stake) continue;
      if (rows == width) width_tokens = expected;
      if (expected * cost(best) <= best_tokens * cost(rows)) continue;
      best = rows;
      best_tokens = expected;
    }
    if (width_tokens == 0) return best;  // no width to keep, or one that costs too much
    return width_tokens / 32 * 33 * cost(best) >= best_tokens * cost(width) ? width : best;
  }

  [[nodiscard]] std::int64_t cost(std::int64_t rows) const {
    return cost_[static_cast<std::size_t>(rows - 1)];
  }

  WindowCosts given_;
  std::vector<std::int64_t> cost_;       // [rows - 1]
  std::vector<std::int64_t> rejection_;  // [slot - 1], of a slot whose left ones were accepted
  std::int64_t best_by_tables_ = 1;
};

}  // namespace sjd
