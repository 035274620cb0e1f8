// SPDX-License-Identifier: Apache-2.0
#include "cells.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>

#include "costs.hpp"
#include "exit_codes.hpp"

namespace sjd::bench {
namespace {

/// Compositions of a mode. `sweep` ones are tried with every window and number of levels.
struct Choice {
  const char* name;
  bool sweep;
};

/// What is measured: the compositions that were asked for, else those of the mode. Identity with AR
/// does not depend on guidance, so the quick mode shows it in the first table only.
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

/// The costs that windows go by, if there are any.
std::optional<paint::CostFile> find_costs(const BenchOptions& options,
                                          const paint::Studio& studio) {
  if (!options.costs.empty()) return paint::read_costs(options.costs);
  const std::filesystem::path shipped = studio.directory() / "costs.json";
  if (!std::filesystem::exists(shipped)) return std::nullopt;
  return paint::read_costs(shipped);
}

void check_windows(const BenchOptions& options, const paint::Studio& studio, bool has_costs) {
  const std::vector<std::int64_t>& windows = options.windows;
  if (has_costs || std::find(windows.begin(), windows.end(), 0) == windows.end()) return;
  throw paint::UsageError{fmt::format(
      "--window auto: costs are needed, and there is no {}; --write-costs FILE measures them, "
      "--costs FILE reads them from elsewhere",
      (studio.directory() / "costs.json").string())};
}

/// Windows of one composition; 0 = by cost.
std::vector<std::int64_t> windows_of(const BenchOptions& options, const paint::Studio& studio,
                                     const paint::Composition& composition, bool has_costs) {
  std::vector<std::int64_t> windows = options.windows;
  if (windows.empty()) {
    windows = {32, 16, 8};
    if (options.full) windows = {32, 4, 8, 16, 48, 64, 96};
    if (&composition == &paint::default_composition(studio)) windows.push_back(0);
  }
  std::erase_if(windows, [&](std::int64_t w) { return w > studio.tokens(); });
  if (!has_costs) std::erase(windows, 0);
  return windows;
}

}  // namespace

std::string missing_costs_text(const BenchOptions& options, const paint::Studio& studio) {
  if (!options.windows.empty() || find_costs(options, studio)) return {};
  const std::vector<Choice> choices = choices_of(options, options.guidance.front());
  const std::string_view name = paint::default_composition(studio).name;
  if (std::none_of(choices.begin(), choices.end(),
                   [&](const Choice& choice) { return choice.name == name; })) {
    return {};
  }
  return fmt::format("no row of {} by cost: there is no {}; --write-costs FILE measures one\n",
                     name, (studio.directory() / "costs.json").string());
}

std::vector<Cell> plan_cells(const BenchOptions& options, const paint::Studio& studio,
                             double guidance, std::int64_t batch) {
  check_levels(options, studio);
  const std::optional<paint::CostFile> costs = find_costs(options, studio);
  check_windows(options, studio, costs.has_value());
  const auto cell_of = [&](const paint::Composition* composition, const paint::Plan& plan) {
    return Cell{composition, plan, guidance, options.temperature, batch};
  };
  std::vector<Cell> cells{cell_of(paint::find_composition("ar"), {})};
  for (const Choice& choice : choices_of(options, guidance)) {
    const paint::Composition* composition = paint::find_composition(choice.name);
    if (composition->uses_noise && !studio.accepts_noise()) continue;
    if (composition->uses_corrector && !studio.has_corrector()) continue;
    if (!composition->uses_window && contains(cells, composition)) continue;
    const paint::Composition* baseline = paint::find_composition(composition->baseline);
    if (!contains(cells, baseline)) cells.push_back(cell_of(baseline, {}));
    for (const std::int64_t window : windows_of(options, studio, *composition, costs.has_value())) {
      for (const std::int64_t levels : options.levels) {
        paint::Plan plan{
            .window = window, .levels = static_cast<std::int32_t>(levels), .depth = options.depth};
        if (window == 0) {
          plan.by_cost = paint::plan_window(*costs, batch, guidance == 1.0 ? 1 : 2,
                                            composition->uses_noise ? plan.levels : 0);
          plan.window = plan.by_cost->capacity();
        }
        cells.push_back(cell_of(composition, plan));
        if (!choice.sweep || !composition->uses_noise) break;
      }
      if (!choice.sweep || !composition->uses_window) break;
    }
  }
  return cells;
}

}  // namespace sjd::bench
