// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "timing.hpp"

namespace sjd::bench {

/// What a number is held against.
struct Target {
  enum class Sense { none, at_most, at_least };
  Sense sense = Sense::none;
  double value = 0.0;
};

inline Target at_most(double value) {
  return {Target::Sense::at_most, value};
}
inline Target at_least(double value) {
  return {Target::Sense::at_least, value};
}

/// One line of the report: median and quartiles of its samples.
struct Line {
  std::string section;  ///< "C1 rows"
  std::string what;
  std::string unit;
  Samples samples;  ///< in that unit
  Target target{};
};

/// Prints lines as they come and remembers them for JSON.
class Report {
 public:
  /// The machine, the compiler, the threads; then the heads of the columns.
  explicit Report(int threads);

  /// A new section with one line of explanation.
  void section(const std::string& name, const std::string& meaning);

  /// `scale` turns a sample into `unit`.
  void add(const std::string& what, const std::string& unit, Samples samples, double scale = 1.0,
           Target target = {});

  /// A sentence between lines.
  void note(const std::string& text);

  /// "12 of 14 targets met".
  void finish() const;

  [[nodiscard]] std::string json() const;

 private:
  std::string section_;
  std::string header_;
  int threads_;
  std::vector<Line> lines_;
};

}  // namespace sjd::bench
