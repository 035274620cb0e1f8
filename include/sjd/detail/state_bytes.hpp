// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "sjd/core/error.hpp"

namespace sjd::detail {

/// The unsigned integer with as many bits as T.
template <class T>
using bits_of = std::conditional_t<
    sizeof(T) == 1, std::uint8_t,
    std::conditional_t<sizeof(T) == 2, std::uint16_t,
                       std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>>;

/// FNV-1a over 64 bits; `hash` continues an earlier one. It finds accidents, not forgeries.
///
/// source  Fowler, Noll, Vo; http://www.isthe.com/chongo/tech/comp/fnv/
[[nodiscard]] inline std::uint64_t fnv64(std::span<const std::byte> bytes,
                                         std::uint64_t hash = 0xCBF29CE484222325U) {
  for (const std::byte b : bytes) {
    hash = (hash ^ std::to_integer<std::uint64_t>(b)) * 0x100000001B3U;
  }
  return hash;
}

/// Writes numbers as little-endian bytes, whatever the machine.
class ByteWriter {
 public:
  template <class T>
  void number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    const auto bits = std::uint64_t{std::bit_cast<bits_of<T>>(value)};
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      bytes_.push_back(static_cast<std::byte>((bits >> (8 * i)) & 0xFFU));
    }
  }
  void text(std::string_view value) {
    number(static_cast<std::uint64_t>(value.size()));
    for (const char c : value) bytes_.push_back(static_cast<std::byte>(c));
  }
  /// The length, then the numbers.
  template <class T>
  void list(const std::vector<T>& values) {
    number(static_cast<std::uint64_t>(values.size()));
    for (const T value : values) number(value);
  }
  void append(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

/// Reads what ByteWriter wrote; nothing is read behind the end, and nothing is allocated that the
/// bytes cannot fill.
///
/// errors  bad_file naming the file, the byte and the field
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string_view file)
      : bytes_{bytes}, file_{file} {}

  template <class T>
  [[nodiscard]] T number(const char* field) {
    static_assert(std::is_arithmetic_v<T>);
    if (sizeof(T) > left()) refuse(field, "the file ends here");
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      bits |= std::to_integer<std::uint64_t>(bytes_[at_ + i]) << (8 * i);
    }
    at_ += sizeof(T);
    return std::bit_cast<T>(static_cast<bits_of<T>>(bits));
  }
  /// A length of entries that take at least `width` bytes each.
  [[nodiscard]] std::size_t count(std::size_t width, const char* field) {
    const auto entries = number<std::uint64_t>(field);
    if (entries > left() / width) {
      refuse(field, "has " + std::to_string(entries) + " entries, more than the file holds");
    }
    return static_cast<std::size_t>(entries);
  }
  [[nodiscard]] std::string text(const char* field) {
    std::string value(count(1, field), '\0');
    for (char& c : value) c = static_cast<char>(bytes_[at_++]);
    return value;
  }
  template <class T>
  [[nodiscard]] std::vector<T> list(const char* field) {
    std::vector<T> values(count(sizeof(T), field));
    for (T& value : values) value = number<T>(field);
    return values;
  }
  void end() const {
    if (left() != 0) refuse("end", "bytes lie behind it");
  }

  [[noreturn]] void refuse(const char* field, const std::string& reason) const {
    throw Error{ErrorCode::bad_file,
                file_ + ": byte " + std::to_string(at_) + ": " + field + ": " + reason};
  }

 private:
  [[nodiscard]] std::size_t left() const { return bytes_.size() - at_; }

  std::span<const std::byte> bytes_;
  std::string file_;
  std::size_t at_ = 0;
};

/// Text of a file in a message: what is not plain ASCII becomes '?', long text is cut.
[[nodiscard]] inline std::string plain_text(std::string_view text) {
  constexpr std::size_t longest = 400;
  std::string result{text.substr(0, longest)};
  for (char& c : result) c = c >= ' ' && c <= '~' ? c : '?';
  return text.size() > longest ? result + "..." : result;
}

}  // namespace sjd::detail
