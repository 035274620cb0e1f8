// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sjd/core/error.hpp"

namespace sjd::hosts::detail {

/// Text that came out of a file, made fit for an error message: control characters escaped, long
/// text cut.
[[nodiscard]] inline std::string printable(std::string_view text) {
  constexpr std::size_t longest = 160;
  constexpr char digits[] = "0123456789abcdef";
  std::string result;
  for (const char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      result += c;
    } else {
      result += {'\\', 'x', digits[byte >> 4U], digits[byte & 15U]};
    }
  }
  if (text.size() > longest) result += "...";
  return result;
}

/// Throws bad_file: "<file>: <what>: <reason>"; `what` may be empty.
[[noreturn]] inline void refuse(const std::string& file, std::string_view what,
                                const std::string& reason) {
  const std::string middle = what.empty() ? std::string{} : printable(what) + ": ";
  throw Error{ErrorCode::bad_file, printable(file) + ": " + middle + reason};
}

/// Product of a shape; false if it is negative anywhere or does not fit.
[[nodiscard]] inline bool checked_product(std::span<const std::int64_t> shape,
                                          std::int64_t& product) {
  product = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(product, extent, &product)) return false;
  }
  return true;
}

/// "[512, 256]"
[[nodiscard]] inline std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

}  // namespace sjd::hosts::detail
