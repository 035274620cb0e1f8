// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sjd/core/error.hpp"
#include "support/allocation_meter.hpp"
#include "support/catch.hpp"
#include "support/hostile_bytes.hpp"

namespace sjd::test {

/// Feeds bad files to one reader and watches what they cost.
class HostileReader {
 public:
  using Read = std::function<void(const std::filesystem::path&)>;

  HostileReader(std::string name, Read reader) : name_{std::move(name)}, read_{std::move(reader)} {}

  /// These bytes must be refused as a bad file, naming the file and `reason`.
  void refuse(std::string_view bytes, std::string_view reason = "") {
    const std::string text = outcome(bytes);
    refused += 1;
    if (text.find("fd/") == std::string::npos || text.find(reason) == std::string::npos) {
      FAIL(name_ << " says \"" << text << "\", not \"" << reason << "\", to "
                 << bytes.substr(0, 2'000));
    }
  }

  /// These bytes may be refused or read, but nothing else may happen.
  void survive(std::string_view bytes) { (outcome(bytes).empty() ? accepted : survived) += 1; }

  std::int64_t refused = 0;
  std::int64_t survived = 0;
  std::int64_t accepted = 0;
  std::int64_t peak = 0;  ///< most bytes that one file made the reader hold

  /// One line for the table of tests/run.
  [[nodiscard]] std::string summary() const {
    return "H1 " + name_ + ": " + std::to_string(refused) + " bad inputs refused, " +
           std::to_string(survived) + " + " + std::to_string(accepted) +
           " mutations refused or read, at most " + std::to_string(peak / 1024) + " KiB held";
  }

 private:
  /// What the reader said, empty if it read the file; an allocation out of proportion fails.
  std::string outcome(std::string_view bytes) {
    const MemoryFile file{bytes};
    std::string text;
    meter.reset();
    try {
      const Counting on{true};
      read_(file.path());
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::bad_file);
      text = error.what();
    }
    const std::int64_t held = meter.peak;
    peak = std::max(peak, held);
    const auto size = static_cast<std::int64_t>(bytes.size());
    if (held > most_per_byte * size + most_fixed) {
      FAIL(name_ << " holds " << held << " bytes for a file of " << size);
    }
    return text;
  }

  /// What a reader may hold: packed weights are wider than the file, a JSON value is a node.
  static constexpr std::int64_t most_per_byte = 64;
  static constexpr std::int64_t most_fixed = 256 << 10;

  std::string name_;
  Read read_;
};

/// The file with `from` replaced; `from` must be there.
inline std::string with(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

/// Byte strings that are no UTF-8.
inline std::vector<std::string> broken_utf8() {
  return {"\x80",
          "\xBF",
          "\xC0\x80",
          "\xC1\xBF",
          "\xC2",
          "\xC2\x41",
          "\xE0\x80\x80",
          "\xE0\x9F\xBF",
          "\xE1\x80",
          "\xED\xA0\x80",
          "\xED\xBF\xBF",
          "\xEF\xBF",
          "\xF0\x80\x80\x80",
          "\xF0\x8F\xBF\xBF",
          "\xF1\x80\x80",
          "\xF4\x90\x80\x80",
          "\xF5\x80\x80\x80",
          "\xF8\x88\x80\x80\x80",
          "\xFE",
          "\xFF"};
}

/// JSON values that are no whole number of a sensible size.
inline std::vector<std::string> bad_integers() {
  return {"null",
          "true",
          "\"4\"",
          "[]",
          "{}",
          "[4]",
          "-1",
          "1.5",
          "1.0",
          "1e300",
          "1e0",
          "-0.5",
          "1e999",
          "NaN",
          "Infinity",
          "-",
          "",
          "01",
          "0x10",
          "+1",
          "4,4",
          "1 1",
          "-9223372036854775808",
          "9223372036854775807",
          "9223372036854775808",
          "18446744073709551615",
          "18446744073709551616",
          "99999999999999999999999999999999999999999"};
}

}  // namespace sjd::test
