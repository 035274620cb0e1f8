// SPDX-License-Identifier: Apache-2.0
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

namespace sjd::bench {
namespace {

double total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

std::vector<double> quotients(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result;
  for (std::size_t i = 0; i < a.size(); ++i) result.push_back(a[i] / b[i]);
  return result;
}

std::string number_or_dash(double value, int digits) {
  return std::isnan(value) ? "-" : fmt::format("{:.{}f}", value, digits);
}

std::string promise(const paint::Composition& composition) {
  if (!composition.is_lossless) return "LOSSY";
  return composition.equals_ar && composition.uses_window ? "lossless = AR" : "lossless";
}

std::string window_text(const Cell& cell, const Row& row) {
  if (!cell.composition->uses_window) return "-";
  if (cell.plan.by_cost) return fmt::format("~{:.0f}", row.mean_window);
  return fmt::format("{}", cell.plan.window);
}

std::string row_text(const Cell& cell, const Row& row) {
  const paint::Composition& c = *cell.composition;
  return fmt::format(
      "{:<14} {:>3} {:>2}  {:<13} {:>5.2f} [{:>5.2f}, {:>5.2f}] {:>5} {:>5}  {:>5}  {:>6.3f} "
      "[{:.3f}, {:.3f}] {:>5.2f}  {:>6.2f} {:>6} {:>6.2f}\n",
      c.name, window_text(cell, row), c.uses_noise ? fmt::format("{}", cell.plan.levels) : "-",
      promise(c), row.tokens_per_pass, row.interval.low, row.interval.high,
      c.uses_noise ? number_or_dash(row.bound, 1) : "-", number_or_dash(row.over_sjd, 2),
      number_or_dash(row.nats, 3), row.seconds, row.quartiles.low, row.quartiles.high, row.over_ar,
      row.host_ms, c.uses_corrector ? fmt::format("{:.3f}", row.corrector_ms) : "-",
      row.library_ms);
}

nlohmann::ordered_json row_json(const Series& series, const Row& row) {
  const paint::Composition& c = *series.cell.composition;
  nlohmann::ordered_json json;
  json["composition"] = c.name;
  json["lossless"] = c.is_lossless;
  json["equals_ar"] = c.equals_ar;
  if (c.uses_window && series.cell.plan.by_cost) json["window"] = "auto";
  if (c.uses_window && !series.cell.plan.by_cost) json["window"] = series.cell.plan.window;
  json["mean_window"] = row.mean_window;
  if (c.uses_noise) json["levels"] = series.cell.plan.levels;
  json["guidance"] = series.cell.guidance;
  json["batch"] = series.cell.batch;
  json["temperature"] = series.cell.temperature;
  json["tokens_per_pass"] = row.tokens_per_pass;
  json["tokens_per_pass_95"] = {row.interval.low, row.interval.high};
  if (c.uses_noise) json["bound"] = row.bound;
  json["over_sjd"] = row.over_sjd;
  json["nats_per_token"] = row.nats;
  json["seconds_median"] = row.seconds;
  json["seconds_quartiles"] = {row.quartiles.low, row.quartiles.high};
  json["over_ar"] = row.over_ar;
  json["model_ms_per_pass"] = row.host_ms;
  json["corrector_ms_per_pass"] = row.corrector_ms;
  json["library_ms_per_pass"] = row.library_ms;
  json["passes"] = series.column(&Sample::passes);
  json["rows"] = series.column(&Sample::rows);
  json["seconds"] = series.column(&Sample::seconds);
  json["nats"] = series.column(&Sample::nats);
  return json;
}

}  // namespace

Row summarize(const Group& group, const Series& series, std::int64_t tokens) {
  const std::vector<double> passes = series.column(&Sample::passes);
  const std::vector<double> seconds = series.column(&Sample::seconds);
  const double all_passes = std::max(1.0, total(passes));
  Row row;
  row.mean_window =
      total(series.column(&Sample::rows)) / all_passes / (series.cell.guidance == 1.0 ? 1.0 : 2.0);
  row.tokens_per_pass = series.tokens_per_pass();
  row.interval = ratio_interval(series.column(&Sample::tokens), passes);
  row.bound = paint::pass_bound(*series.cell.composition, series.cell.plan, tokens);
  const auto sjd = std::find_if(group.series.begin(), group.series.end(), [](const Series& other) {
    return other.cell.composition->name == "sjd";
  });
  row.over_sjd = sjd == group.series.end() ? std::numeric_limits<double>::quiet_NaN()
                                           : row.tokens_per_pass / sjd->tokens_per_pass();
  row.nats = mean(series.column(&Sample::nats));
  row.seconds = median(seconds);
  row.quartiles = {quantile(seconds, 0.25), quantile(seconds, 0.75)};
  row.over_ar = median(quotients(group.series.front().column(&Sample::seconds), seconds));
  row.host_ms = 1e3 * total(series.column(&Sample::host_seconds)) / all_passes;
  row.corrector_ms = 1e3 * total(series.column(&Sample::corrector_seconds)) / all_passes;
  row.library_ms =
      1e3 * total(series.column(&Sample::library_seconds)) / all_passes - row.corrector_ms;
  return row;
}

std::string header_text(const Machine& machine, const BenchOptions& options,
                        const paint::Studio& studio, std::size_t prompts) {
  return fmt::format(
      "sjd {}, {}, {} cores, {} threads, {} kernels, {}\n"
      "model {} ({}.safetensors), {} prompts of {}, seed {}, temperature {}\n",
      machine.version, machine.processor, machine.cores, machine.threads, machine.instructions,
      machine.compiler, studio.directory().string(), options.studio.weights, prompts, options.split,
      options.seed, options.temperature);
}

std::string table_text(const Group& group, std::int64_t tokens) {
  std::string text = fmt::format("\nguidance {}, batch {}", group.guidance, group.batch);
  if (!std::isnan(group.data_nats)) {
    text += fmt::format("; the true pictures of these prompts: {:.3f} nats a token under this law",
                        group.data_nats);
  }
  text += fmt::format(
      "\n{:<14} {:>3} {:>2}  {:<13} {:<20} {:>5} {:>5}  {:>5}  {:<21} {:>5}  {:>6} {:>6} {:>6}\n",
      "composition", "W", "K", "law", "tokens/pass [95 %]", "bound", "x SJD", "nats",
      "s/picture [quartiles]", "x AR", "model", "head", "library");
  for (const Series& series : group.series) {
    text += row_text(series.cell, summarize(group, series, tokens));
  }
  return text;
}

std::string json_text(const Machine& machine, const BenchOptions& options,
                      const std::vector<PromptEntry>& prompts, const std::vector<Group>& groups,
                      std::int64_t tokens) {
  nlohmann::ordered_json json;
  json["format"] = "sjd-bench";
  json["version"] = 1;
  json["sjd"] = machine.version;
  json["processor"] = machine.processor;
  json["cores"] = machine.cores;
  json["threads"] = machine.threads;
  json["instructions"] = machine.instructions;
  json["compiler"] = machine.compiler;
  json["weights"] = options.studio.weights;
  json["split"] = options.split;
  json["seed"] = options.seed;
  for (const PromptEntry& prompt : prompts) json["prompts"].push_back(prompt.prompt);
  for (const Group& group : groups) {
    nlohmann::ordered_json entry;
    entry["guidance"] = group.guidance;
    entry["batch"] = group.batch;
    entry["data_nats_per_token"] = group.data_nats;
    for (const Series& series : group.series) {
      entry["rows"].push_back(row_json(series, summarize(group, series, tokens)));
    }
    json["groups"].push_back(entry);
  }
  return json.dump(1) + "\n";
}

}  // namespace sjd::bench
