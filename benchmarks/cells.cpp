// SPDX-License-Identifier: Apache-2.0
#include "cells.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "exit_codes.hpp"

namespace sjd::bench {
namespace {

/// Compositions of a mode. `sweep` ones are tried with every window and number of levels.
struct Choice {
  const char* name;
  bool sweep;
};

///
/// Identity with AR does not depend on guidance, so the quick mode shows it in the first table
/// only.
std::vector<Choice> choices_of(const BenchOptions& options, double guidance) {
  if (!options.only.empty()) {
    std::vector<Choice> chosen;
    for (const std::string& name : options.only) chosen.push_back({name.c_str(), true});
    return chosen;
  }
  if (options.full) {
    return {{"sjd", true},          {"sjd-maximal", true},   {"sjd2", true},
            {"sjd2-maximal", true}, {"sjd-corrected", true}, {"sjd2-corrected", true},
            {"sjd-gumbel", true},   {"sjd2-gumbel", true},   {"jacobi", false},
            {"sjd2-ungated", false}};
  }
  std::vector<Choice> quick{{"sjd", false},  {"sjd-maximal", true},  {"sjd-corrected", true},
                            {"sjd2", false}, {"sjd2-maximal", true}, {"sjd2-corrected", true}};
  if (guidance == options.guidance.front()) {
    quick.push_back({"sjd-gumbel", false});
    quick.push_back({"sjd2-gumbel", false});
  }
  return quick;
}

bool contains(const std::vector<Cell>& cells, const paint::Composition* composition) {
  return std::any_of(cells.begin(), cells.end(),
                     [&](const Cell& cell) { return cell.composition == composition; });
}

void check_levels(const BenchOptions& options, const paint::Studio& studio) {
  const std::vector<std::int32_t> known = studio.level_counts();
  for (const std::int64_t levels : options.levels) {
    if (std::find(known.begin(), known.end(), levels) == known.end()) {
      throw paint::UsageError{fmt::format("--levels {}: one of {} is needed with this model",
                                          levels, fmt::join(known, ", "))};
    }
  }
}

}  // namespace

std::vector<Cell> plan_cells(const BenchOptions& options, const paint::Studio& studio,
                             double guidance) {
  check_levels(options, studio);
  std::vector<Cell> cells{{paint::find_composition("ar"), {}, guidance, options.temperature}};
  for (const Choice& choice : choices_of(options, guidance)) {
    const paint::Composition* composition = paint::find_composition(choice.name);
    if (composition->uses_noise && !studio.accepts_noise()) continue;
    if (composition->uses_corrector && !studio.has_corrector()) continue;
    if (!composition->uses_window && contains(cells, composition)) continue;
    const paint::Composition* baseline = paint::find_composition(composition->baseline);
    if (!contains(cells, baseline)) cells.push_back({baseline, {}, guidance, options.temperature});
    for (const std::int64_t window : options.windows) {
      for (const std::int64_t levels : options.levels) {
        if (window > studio.tokens()) continue;
        const paint::Plan plan{.window = window, .levels = static_cast<std::int32_t>(levels)};
        cells.push_back({composition, plan, guidance, options.temperature});
        if (!choice.sweep || !composition->uses_noise) break;
      }
      if (!choice.sweep || !composition->uses_window) break;
    }
  }
  return cells;
}

}  // namespace sjd::bench
