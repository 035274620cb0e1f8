// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace sjd::bench {

/// One measured thing, or one that could not be measured. The parts of benchmarks/gpu/run leave
/// their lines in files and one program prints the table of all.
struct GpuLine {
  std::string id{};     ///< row of the plan: G1 .. G6, or the part that wrote it
  std::string shape{};  ///< what was computed: "96 rows, V 8192"; peers repeat it word for word
  std::string who{};    ///< "sjd", or the peer
  std::string unit{};   ///< "us", "bytes", "x"
  std::optional<double> median{};        ///< none: not measured, `note` says why
  std::optional<double> low{}, high{};   ///< first and third quartile of the rounds
  std::optional<double> least{};         ///< the floor: bytes over the copy speed of this device
  std::optional<double> target{};        ///< of ours, an upper bound
  std::optional<double> target_ratio{};  ///< of a peer: how many times as fast ours shall be
  std::string note{};

  friend bool operator==(const GpuLine&, const GpuLine&) = default;
};

/// What a run was made on: "device", "driver", "clocks", versions; free text, in order.
struct GpuFact {
  std::string name;
  std::string value;

  friend bool operator==(const GpuFact&, const GpuFact&) = default;
};

struct GpuResults {
  std::vector<GpuFact> facts;
  std::vector<GpuLine> lines;
};

/// Eleven fields between tabs, a missing number left empty; a fact is "#", name, value. Tabs and
/// line ends inside a text become blanks.
void write_lines(std::ostream& out, const GpuResults& results);

/// Adds what a file of write_lines holds.
///
/// errors  runtime_error naming the line that has not eleven fields or holds no number where one
///         belongs
void read_lines(std::istream& in, GpuResults& results);

}  // namespace sjd::bench
