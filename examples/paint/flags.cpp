// SPDX-License-Identifier: Apache-2.0
#include "flags.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "exit_codes.hpp"
#include "words.hpp"

namespace sjd::paint {
namespace {

const Flag& find_flag(std::span<const Flag> flags, const std::string& name) {
  const auto found = std::find_if(flags.begin(), flags.end(), [&](const Flag& flag) {
    return name == flag.name || (!flag.short_name.empty() && name == flag.short_name);
  });
  if (found != flags.end()) return *found;
  std::vector<std::string> names;
  for (const Flag& flag : flags) names.push_back(flag.name);
  const std::vector<std::string> near = nearby_words(name, names, 1);
  throw UsageError{near.empty() ? fmt::format("{}: no such option; --help lists them", name)
                                : fmt::format("{}: no such option; {}?", name, near.front())};
}

template <class Number>
bool parse_whole(const std::string& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

std::vector<std::string> parse_flags(std::span<const std::string> arguments,
                                     std::span<const Flag> flags) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      words.insert(words.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                   arguments.end());
      break;
    }
    if (argument.size() < 2 || argument.front() != '-') {
      words.push_back(argument);
      continue;
    }
    const std::size_t equals = argument.starts_with("--") ? argument.find('=') : std::string::npos;
    const Flag& flag = find_flag(flags, argument.substr(0, equals));
    if (!flag.takes_value) {
      if (equals != std::string::npos) {
        throw UsageError{fmt::format("{}: takes no value", flag.name)};
      }
      flag.set({});
    } else if (equals != std::string::npos) {
      flag.set(argument.substr(equals + 1));
    } else {
      if (++i == arguments.size()) throw UsageError{fmt::format("{}: needs a value", flag.name)};
      flag.set(arguments[i]);
    }
  }
  return words;
}

std::int64_t integer_value(const std::string& name, const std::string& text, std::int64_t least,
                           std::int64_t most) {
  std::int64_t number = 0;
  if (!parse_whole(text, number) || number < least || number > most) {
    throw UsageError{
        fmt::format("{} {}: a whole number in {} .. {} is needed", name, text, least, most)};
  }
  return number;
}

std::uint64_t seed_value(const std::string& name, const std::string& text) {
  std::uint64_t number = 0;
  if (!parse_whole(text, number)) {
    throw UsageError{fmt::format("{} {}: a whole number in 0 .. {} is needed", name, text,
                                 std::numeric_limits<std::uint64_t>::max())};
  }
  return number;
}

double real_value(const std::string& name, const std::string& text, double least, double most) {
  double number = 0.0;
  if (!parse_whole(text, number) || !std::isfinite(number) || number < least || number > most) {
    throw UsageError{fmt::format("{} {}: a number in {} .. {} is needed", name, text, least, most)};
  }
  return number;
}

std::string choice_value(const std::string& name, const std::string& text,
                         std::span<const std::string> choices) {
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return text;
  throw UsageError{fmt::format("{} {}: one of {} is needed", name, text, fmt::join(choices, ", "))};
}

std::int64_t window_value(const std::string& name, const std::string& text) {
  constexpr std::int64_t most = 4096;
  std::int64_t number = 0;
  if (!parse_whole(text, number) || number < 1 || number > most) {
    throw UsageError{
        fmt::format("{} {}: auto or a whole number in 1 .. {} is needed", name, text, most)};
  }
  return number;
}

std::vector<std::int64_t> integer_list(const std::string& name, const std::string& text,
                                       std::int64_t least, std::int64_t most) {
  std::vector<std::int64_t> numbers;
  for (const std::string& piece : split_commas(text)) {
    numbers.push_back(integer_value(name, piece, least, most));
  }
  return numbers;
}

std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> pieces{""};
  for (const char c : text) {
    if (c == ',') {
      pieces.emplace_back();
    } else {
      pieces.back() += c;
    }
  }
  return pieces;
}

}  // namespace sjd::paint
