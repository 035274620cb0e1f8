// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "support/e_process.hpp"
#include "support/instances.hpp"

namespace sjd::test {

/// One registered comparison of drawn pictures with the AR law: what is drawn, by which numbers.
struct Statistic {
  std::string composition;    ///< a name of draw_pictures()
  Instance instance;          ///< sizes, filters and seed of the table law
  std::uint64_t seed = 0;     ///< of the production gate; picture i is its sample i
  std::int64_t pictures = 0;  ///< how many tests/run draws

  /// The whole of it but for `pictures`, in one line; equal text means equal draws.
  [[nodiscard]] std::string text() const;
};

/// What tests/stat/plan.json registers.
struct StatisticPlan {
  std::vector<Statistic> lossless;  ///< none of these may fail
  std::vector<Statistic> wrong;     ///< each of these must fail within its pictures
};

/// errors  whatever the parser throws; std::runtime_error for a plan without statistics
[[nodiscard]] StatisticPlan read_plan(const std::string& file);

/// The e-process of a statistic before its first draw: the AR law of its instance, one cell for
/// each picture.
[[nodiscard]] EProcess start_process(const Statistic& statistic);

/// Called between blocks of pictures with how many were drawn; false ends the drawing.
using AfterBlock = std::function<bool(std::int64_t drawn)>;

/// Draws pictures first .. first + count - 1 of a statistic with the production gate, several at a
/// time, through the decoder that its composition names, and adds them to `inout_process`.
///
/// errors  std::runtime_error for a name that is not known, and for a composition whose is_lossless
///         is not `lossless`
void draw_pictures(const Statistic& statistic, bool lossless, std::uint64_t first,
                   std::int64_t count, EProcess& inout_process, const AfterBlock& after_block);

}  // namespace sjd::test
