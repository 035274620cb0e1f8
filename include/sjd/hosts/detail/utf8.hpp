// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

namespace sjd::hosts::detail {

/// Bytes of the well-formed UTF-8 character that `text` begins with; 0 if it begins with none.
///
/// source  RFC 3629: no overlong form, no surrogate, nothing beyond U+10FFFF
[[nodiscard]] inline std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (text.empty()) return 0;
  if (first < 0x80U) return 1;
  if (first >= 0xC2U && first <= 0xDFU) return continues(1) ? 2 : 0;
  if ((first & 0xF0U) == 0xE0U) {
    const bool overlong = first == 0xE0U && byte(1) < 0xA0U;
    const bool surrogate = first == 0xEDU && byte(1) > 0x9FU;
    return continues(1) && continues(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first < 0xF0U || first > 0xF4U) return 0;
  const bool overlong = first == 0xF0U && byte(1) < 0x90U;
  const bool beyond = first == 0xF4U && byte(1) > 0x8FU;
  return continues(1) && continues(2) && continues(3) && !overlong && !beyond ? 4 : 0;
}

/// Offset of the first byte that is no UTF-8; text.size() if there is none.
[[nodiscard]] inline std::size_t valid_utf8_prefix(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = utf8_length(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return at;
}

}  // namespace sjd::hosts::detail
