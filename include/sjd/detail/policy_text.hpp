// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace sjd::detail {

/// The name of a type as the compiler writes it.
template <class T>
[[nodiscard]] constexpr std::string_view type_name() {
  constexpr std::string_view whole = __PRETTY_FUNCTION__;
  constexpr std::string_view before = "T = ";
  constexpr std::size_t begin = whole.find(before) + before.size();
  // g++ lists more names behind a semicolon, clang ends with the bracket.
  constexpr std::size_t semicolon = whole.find(';', begin);
  constexpr std::size_t end = semicolon == std::string_view::npos ? whole.rfind(']') : semicolon;
  return whole.substr(begin, end - begin);
}

/// Converts to anything, to count the fields of an aggregate.
struct AnyField {
  template <class T>
  operator T() const;  // NOLINT: implicit on purpose
};

template <class P, class... Fields>
constexpr std::size_t field_count() {
  if constexpr (requires { P{Fields{}..., AnyField{}}; }) {
    return field_count<P, Fields..., AnyField>();
  } else {
    return sizeof...(Fields);
  }
}

/// The fields of an aggregate of up to 8 fields, copied.
template <class P>
auto fields_of(const P& p) {
  constexpr std::size_t count = std::is_empty_v<P> ? 0 : field_count<P>();
  static_assert(count <= 8, "sjd: a policy of more than 8 fields needs std::string fingerprint()");
  if constexpr (count == 0) {
    return std::tuple{};
  } else if constexpr (count == 1) {
    const auto& [a] = p;
    return std::tuple{a};
  } else if constexpr (count == 2) {
    const auto& [a, b] = p;
    return std::tuple{a, b};
  } else if constexpr (count == 3) {
    const auto& [a, b, c] = p;
    return std::tuple{a, b, c};
  } else if constexpr (count == 4) {
    const auto& [a, b, c, d] = p;
    return std::tuple{a, b, c, d};
  } else if constexpr (count == 5) {
    const auto& [a, b, c, d, e] = p;
    return std::tuple{a, b, c, d, e};
  } else if constexpr (count == 6) {
    const auto& [a, b, c, d, e, f] = p;
    return std::tuple{a, b, c, d, e, f};
  } else if constexpr (count == 7) {
    const auto& [a, b, c, d, e, f, g] = p;
    return std::tuple{a, b, c, d, e, f, g};
  } else {
    const auto& [a, b, c, d, e, f, g, h] = p;
    return std::tuple{a, b, c, d, e, f, g, h};
  }
}

/// A number so that equal text means equal value.
template <class T>
[[nodiscard]] std::string number_text(T value) {
  static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>,
                "sjd: a policy whose fields are not numbers needs std::string fingerprint()");
  if constexpr (std::is_enum_v<T>) {
    return number_text(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "1" : "0";
  } else {
    std::array<char, 64> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    return {text.data(), end};
  }
}

/// One policy: its type and the values of its fields, or what its fingerprint() says.
template <class P>
[[nodiscard]] std::string policy_text(const P& policy) {
  std::string text{type_name<P>()};
  if constexpr (requires { std::string{policy.fingerprint()}; }) {
    return text + "{" + std::string{policy.fingerprint()} + "}";
  } else {
    std::string values;
    std::apply(
        [&](const auto&... field) {
          ((values += (values.empty() ? "" : ", ") + number_text(field)), ...);
        },
        fields_of(policy));
    return text + "{" + values + "}";
  }
}

/// All policies of a composition, in the order of the tuple.
template <class... Policies>
[[nodiscard]] std::string policies_text(const std::tuple<Policies...>& policies) {
  std::string text;
  std::apply(
      [&](const auto&... policy) {
        ((text += (text.empty() ? "" : "; ") + policy_text(policy)), ...);
      },
      policies);
  return text;
}

}  // namespace sjd::detail
