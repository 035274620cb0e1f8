// SPDX-License-Identifier: Apache-2.0
#include "gpu_table.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>

namespace sjd::bench {
namespace {

constexpr const char* ours = "sjd";

[[gnu::format(printf, 1, 2)]] std::string print(const char* format, ...) {
  std::array<char, 512> text{};
  va_list values;
  va_start(values, format);
  std::vsnprintf(text.data(), text.size(), format, values);
  va_end(values);
  return text.data();
}

std::string number(const std::optional<double>& value) {
  if (!value) return "-";
  return print(*value >= 100.0 ? "%.0f" : "%.2f", *value);
}

const GpuLine* find(const GpuResults& results, const std::string& id, const std::string& shape) {
  for (const GpuLine& line : results.lines) {
    if (line.id == id && line.shape == shape && line.who == ours && line.median) return &line;
  }
  return nullptr;
}

/// How many times as long a peer takes as ours.
std::optional<double> ratio_of(const GpuResults& results, const GpuLine& line) {
  const GpuLine* own = find(results, line.id, line.shape);
  if (line.who == ours || !line.median || own == nullptr || *own->median <= 0.0) {
    return std::nullopt;
  }
  return *line.median / *own->median;
}

std::string verdict(const GpuLine& line, const std::optional<double>& ratio) {
  if (!line.median) return "not measured";
  if (line.target) return *line.median <= *line.target ? "met" : "missed";
  if (line.target_ratio && ratio) return *ratio >= *line.target_ratio ? "met" : "missed";
  return "";
}

std::string row_text(const GpuResults& results, const GpuLine& line) {
  const std::optional<double> ratio = ratio_of(results, line);
  std::string target = number(line.target);
  if (line.target_ratio) target = ">= " + number(line.target_ratio) + " x";
  std::string row = print("%-4s %-34s %-26s %9s [%s, %s] %-5s", line.id.c_str(), line.shape.c_str(),
                          line.who.c_str(), number(line.median).c_str(), number(line.low).c_str(),
                          number(line.high).c_str(), line.unit.c_str());
  row.resize(std::max<std::size_t>(row.size(), 102), ' ');
  row += print(" %9s %11s %9s  %-12s", number(line.least).c_str(), target.c_str(),
               ratio ? (number(ratio) + " x").c_str() : "-", verdict(line, ratio).c_str());
  if (!line.note.empty()) row += "  " + line.note;
  while (!row.empty() && row.back() == ' ') row.pop_back();
  return row + "\n";
}

std::string json_string(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    const auto byte = static_cast<unsigned char>(c);
    quoted += byte < 0x20 ? print("\\u%04x", unsigned{byte}) : std::string(1, c);
  }
  return quoted + "\"";
}

std::string json_number(const std::optional<double>& value) {
  return value ? print("%.6g", *value) : "null";
}

std::string json_line(const GpuResults& results, const GpuLine& line) {
  std::string text = "{";
  const auto add = [&](const char* name, const std::string& value) {
    text += (text.size() > 1 ? ", \"" : "\"") + std::string{name} + "\": " + value;
  };
  add("id", json_string(line.id));
  add("shape", json_string(line.shape));
  add("who", json_string(line.who));
  add("unit", json_string(line.unit));
  add("median", json_number(line.median));
  add("first_quartile", json_number(line.low));
  add("third_quartile", json_number(line.high));
  add("least", json_number(line.least));
  add("target", json_number(line.target));
  add("times_ours", json_number(ratio_of(results, line)));
  add("target_times_ours", json_number(line.target_ratio));
  add("note", json_string(line.note));
  return text + "}";
}

}  // namespace

std::optional<double> projected_speed_up(const GpuResults& results, const MeasuredTau& tau) {
  const GpuLine* ar = find(results, "G6", "7B, AR");
  const GpuLine* pass = find(results, "G6", "7B, " + tau.window);
  if (ar == nullptr || pass == nullptr || *pass->median <= 0.0) return std::nullopt;
  return tau.tokens_per_pass * *ar->median / *pass->median;
}

std::string table_text(const GpuResults& results, const std::optional<MeasuredTau>& tau) {
  std::string text;
  for (const GpuFact& fact : results.facts) text += fact.name + ": " + fact.value + "\n";
  text += print("%-4s %-34s %-26s %9s %-26s %9s %11s %9s  %s\n", "", "what", "who", "median",
                "[quartiles]", "least", "target", "of ours", "");
  for (const GpuLine& line : results.lines) text += row_text(results, line);
  if (!tau) return text + "no tau was given: no speed-up is projected\n";
  const std::optional<double> gain = projected_speed_up(results, *tau);
  text += "projected speed-up over AR on this device: " + (gain ? number(gain) + " x" : "-") +
          " = " + number(tau->tokens_per_pass) + " tokens a pass (measured: " + tau->model +
          ") x T(AR) / T(" + tau->window + ") of the 7B shape; no such model was decoded here\n";
  return text;
}

std::string json_text(const GpuResults& results, const std::optional<MeasuredTau>& tau) {
  std::string text = "{\"facts\": {";
  for (std::size_t i = 0; i < results.facts.size(); ++i) {
    text += (i > 0 ? ", " : "") + json_string(results.facts[i].name) + ": " +
            json_string(results.facts[i].value);
  }
  text += "},\n\"lines\": [\n";
  for (std::size_t i = 0; i < results.lines.size(); ++i) {
    text += json_line(results, results.lines[i]);
    text += i + 1 < results.lines.size() ? ",\n" : "\n";
  }
  text += "],\n\"projected\": ";
  if (!tau) return text + "null}\n";
  return text + "{\"speed_up\": " + json_number(projected_speed_up(results, *tau)) +
         ", \"tokens_per_pass\": " + json_number(tau->tokens_per_pass) +
         ", \"window\": " + json_string(tau->window) + ", \"model\": " + json_string(tau->model) +
         "}}\n";
}

}  // namespace sjd::bench
