// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sjd::paint {

/// One option of a command line.
struct Flag {
  std::string name;  ///< "--seed"
  bool takes_value = true;
  std::function<void(const std::string& value)> set;
  std::string short_name = {};  ///< "-o"; may be empty
};

/// Obeys `--name value`, `--name=value` and `-o value` anywhere on the line; `--` ends the options.
///
/// returns the remaining words, in order
/// errors  UsageError for an option that is not known, has no value, or has one it does not take
std::vector<std::string> parse_flags(std::span<const std::string> arguments,
                                     std::span<const Flag> flags);

/// Values of options; each throws UsageError with one line that says the allowed range.
[[nodiscard]] std::int64_t integer_value(const std::string& name, const std::string& text,
                                         std::int64_t least, std::int64_t most);
[[nodiscard]] std::uint64_t seed_value(const std::string& name, const std::string& text);
[[nodiscard]] double real_value(const std::string& name, const std::string& text, double least,
                                double most);
[[nodiscard]] std::string choice_value(const std::string& name, const std::string& text,
                                       std::span<const std::string> choices);

/// A window: rows of a pass, 1 .. 4096; the complaint names "auto" as well.
[[nodiscard]] std::int64_t window_value(const std::string& name, const std::string& text);

/// "8,16,32": each a whole number within the range.
[[nodiscard]] std::vector<std::int64_t> integer_list(const std::string& name,
                                                     const std::string& text, std::int64_t least,
                                                     std::int64_t most);

/// The pieces of `text` between commas.
[[nodiscard]] std::vector<std::string> split_commas(const std::string& text);

}  // namespace sjd::paint
