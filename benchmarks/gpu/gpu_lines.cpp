// SPDX-License-Identifier: Apache-2.0
#include "gpu_lines.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <istream>
#include <ostream>
#include <stdexcept>

namespace sjd::bench {
namespace {

constexpr std::size_t field_count = 11;

std::string plain(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\t' || c == '\n' || c == '\r'; }, ' ');
  return text;
}

std::string text_of(const std::optional<double>& value) {
  if (!value) return {};
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.6g", *value);
  return text.data();
}

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields{{}};
  for (const char c : line) {
    if (c == '\t') {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

std::optional<double> number_of(const std::string& field, std::size_t line) {
  if (field.empty()) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(field.c_str(), &end);
  if (end != field.c_str() + field.size()) {
    throw std::runtime_error("line " + std::to_string(line) + ": " + field + " is not a number");
  }
  return value;
}

GpuLine line_of(const std::vector<std::string>& fields, std::size_t line) {
  if (fields.size() != field_count) {
    throw std::runtime_error("line " + std::to_string(line) + ": not eleven fields");
  }
  const auto number = [&](std::size_t i) { return number_of(fields[i], line); };
  return {fields[0], fields[1], fields[2], fields[3], number(4), number(5),
          number(6), number(7), number(8), number(9), fields[10]};
}

}  // namespace

void write_lines(std::ostream& out, const GpuResults& results) {
  for (const GpuFact& fact : results.facts) {
    out << "#\t" << plain(fact.name) << '\t' << plain(fact.value) << '\n';
  }
  for (const GpuLine& line : results.lines) {
    for (const std::string* text : {&line.id, &line.shape, &line.who, &line.unit}) {
      out << plain(*text) << '\t';
    }
    for (const auto* value :
         {&line.median, &line.low, &line.high, &line.least, &line.target, &line.target_ratio}) {
      out << text_of(*value) << '\t';
    }
    out << plain(line.note) << '\n';
  }
}

void read_lines(std::istream& in, GpuResults& results) {
  std::string text;
  for (std::size_t line = 1; std::getline(in, text); ++line) {
    if (text.empty()) continue;
    const std::vector<std::string> fields = fields_of(text);
    if (fields[0] == "#" && fields.size() == 3) {
      results.facts.push_back({fields[1], fields[2]});
    } else {
      results.lines.push_back(line_of(fields, line));
    }
  }
}

}  // namespace sjd::bench
