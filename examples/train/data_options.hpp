// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace sjd::train {

/// `--name value` pairs of one stage; an unknown name or a missing value is refused.
class StageOptions {
 public:
  StageOptions(std::span<char* const> args, std::map<std::string, std::string> defaults)
      : values_(std::move(defaults)) {
    for (std::size_t index = 0; index < args.size(); index += 2) {
      const std::string_view flag = args[index];
      const std::string name(flag.substr(flag.starts_with("--") ? 2 : 0));
      if (!flag.starts_with("--") || !values_.contains(name)) {
        throw std::invalid_argument("unknown option " + std::string(flag));
      }
      if (index + 1 == args.size()) {
        throw std::invalid_argument("option " + std::string(flag) + " needs a value");
      }
      values_[name] = args[index + 1];
    }
  }

  [[nodiscard]] const std::string& text(const std::string& name) const {
    const std::string& value = values_.at(name);
    if (value.empty()) throw std::invalid_argument("option --" + name + " is required");
    return value;
  }

  [[nodiscard]] std::int64_t count(const std::string& name) const {
    const std::string& value = text(name);
    std::int64_t number = 0;
    const char* end = value.data() + value.size();
    const auto result = std::from_chars(value.data(), end, number);
    if (result.ec != std::errc{} || result.ptr != end || number < 0) {
      throw std::invalid_argument("option --" + name + ": " + value + " is not a count");
    }
    return number;
  }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace sjd::train
