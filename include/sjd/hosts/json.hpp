// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "sjd/hosts/detail/checked.hpp"
#include "sjd/hosts/detail/input_file.hpp"

namespace sjd::hosts {

/// What a JSON text may cost; anything beyond is refused.
struct JsonLimits {
  std::int64_t bytes = std::int64_t{1} << 20;
  std::int64_t values = std::int64_t{1} << 20;
  int depth = 32;
  std::int64_t items = std::int64_t{1} << 20;    ///< of one array
  std::int64_t members = std::int64_t{1} << 20;  ///< of one object
};

namespace detail {

struct JsonNode;
using JsonList = std::vector<JsonNode>;
using JsonMembers = std::vector<std::pair<std::string, JsonNode>>;

struct JsonNode {
  std::variant<std::monostate, bool, std::int64_t, double, std::string, JsonList, JsonMembers>
      value;
};

/// Builds JsonNodes from parser events; refuses duplicate keys and whatever exceeds the limits.
class JsonBuilder {
 public:
  JsonBuilder(std::string file, JsonLimits limits) : file_{std::move(file)}, limits_{limits} {}

  [[nodiscard]] JsonNode take() { return std::move(root_); }

  bool null() { return scalar(std::monostate{}); }
  bool boolean(bool value) { return scalar(value); }
  bool number_integer(std::int64_t value) { return scalar(value); }
  bool number_unsigned(std::uint64_t value) {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (value > most) refuse(file_, key_, "the number is too large");
    return scalar(static_cast<std::int64_t>(value));
  }
  bool number_float(double value, const std::string&) { return scalar(value); }
  bool string(std::string& value) { return scalar(std::move(value)); }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(JsonMembers{}); }
  bool start_array(std::size_t) { return open(JsonList{}); }
  bool end_array() { return close(); }
  bool end_object() { return close(); }
  bool key(std::string& name) {
    if (!keys_.back().insert(name).second) refuse(file_, name, "the key stands twice");
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& error) {
    refuse(file_, "byte " + std::to_string(byte), printable(error.what()));
  }

 private:
  template <class T>
  bool scalar(T&& value) {
    add(JsonNode{std::forward<T>(value)});
    return true;
  }
  template <class T>
  bool open(T container) {
    if (static_cast<int>(open_.size()) >= limits_.depth) refuse(file_, key_, "nested too deeply");
    open_.push_back(&add(JsonNode{std::move(container)}));
    keys_.emplace_back();
    return true;
  }
  bool close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }
  JsonNode& add(JsonNode node) {
    if (++count_ > limits_.values) refuse(file_, key_, "too many values");
    if (open_.empty()) return root_ = std::move(node);
    if (auto* list = std::get_if<JsonList>(&open_.back()->value)) {
      if (std::ssize(*list) >= limits_.items) refuse(file_, key_, "too many items in an array");
      return list->emplace_back(std::move(node));
    }
    auto& members = std::get<JsonMembers>(open_.back()->value);
    if (std::ssize(members) >= limits_.members) refuse(file_, key_, "too many members");
    return members.emplace_back(std::move(key_), std::move(node)).second;
  }

  std::string file_;
  JsonLimits limits_;
  JsonNode root_;
  std::vector<JsonNode*> open_;  // only the innermost container grows, so these stay valid
  std::vector<std::set<std::string>> keys_;
  std::string key_;
  std::int64_t count_ = 0;
};

}  // namespace detail

/// A value of a JSON file that knows its file and its name; every access is checked and every
/// refusal names both.
class JsonField {
 public:
  /// Parses `text`, which came from `file`. Duplicate keys, numbers beyond 63 bits and invalid
  /// UTF-8 are refused.
  [[nodiscard]] static JsonField parse(std::string_view text, const std::string& file,
                                       JsonLimits limits = {}) {
    detail::JsonBuilder builder{file, limits};
    nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
    auto root = std::make_shared<const detail::JsonNode>(builder.take());
    const detail::JsonNode* node = root.get();
    return JsonField{std::make_shared<const std::string>(file), std::move(root), node, ""};
  }

  /// Reads and parses a file.
  [[nodiscard]] static JsonField read(const std::filesystem::path& path, JsonLimits limits = {}) {
    return parse(detail::read_text(path, limits.bytes), path.string(), limits);
  }

  /// Member `name` of an object; refused if it is missing.
  [[nodiscard]] JsonField operator[](std::string_view name) const {
    for (const auto& [key, node] : members()) {
      if (key == name) return child(node, key);
    }
    refuse("has no field \"" + std::string{name} + "\"");
  }

  /// Refuses an object with a member that is not among `names`.
  void only(std::initializer_list<std::string_view> names) const {
    for (const auto& [key, node] : members()) {
      if (std::find(names.begin(), names.end(), key) == names.end()) {
        child(node, key).refuse("is not a field of this format");
      }
    }
  }

  /// All members of an object, in file order.
  [[nodiscard]] std::vector<std::pair<std::string, JsonField>> fields() const {
    std::vector<std::pair<std::string, JsonField>> result;
    result.reserve(members().size());
    for (const auto& [key, node] : members()) result.emplace_back(key, child(node, key));
    return result;
  }

  /// All elements of an array.
  [[nodiscard]] std::vector<JsonField> items() const {
    const auto* list = std::get_if<detail::JsonList>(&node_->value);
    if (list == nullptr) refuse("is not an array");
    std::vector<JsonField> result;
    result.reserve(list->size());
    for (std::size_t i = 0; i < list->size(); ++i) {
      result.push_back(JsonField{file_, root_, &(*list)[i], name_ + "[" + std::to_string(i) + "]"});
    }
    return result;
  }

  /// A whole number within [least, most].
  [[nodiscard]] std::int64_t integer(std::int64_t least, std::int64_t most) const {
    const auto* value = std::get_if<std::int64_t>(&node_->value);
    if (value == nullptr) refuse("is not a whole number");
    if (*value < least || *value > most) {
      refuse("is " + std::to_string(*value) + ", outside [" + std::to_string(least) + ", " +
             std::to_string(most) + "]");
    }
    return *value;
  }

  /// A number within [least, most].
  [[nodiscard]] double real(double least, double most) const {
    double value = 0.0;
    if (const auto* whole = std::get_if<std::int64_t>(&node_->value)) {
      value = static_cast<double>(*whole);
    } else if (const auto* number = std::get_if<double>(&node_->value)) {
      value = *number;
    } else {
      refuse("is not a number");
    }
    if (!(value >= least && value <= most)) {
      refuse("is " + std::to_string(value) + ", outside [" + std::to_string(least) + ", " +
             std::to_string(most) + "]");
    }
    return value;
  }

  [[nodiscard]] bool boolean() const {
    const auto* value = std::get_if<bool>(&node_->value);
    if (value == nullptr) refuse("is not true or false");
    return *value;
  }

  [[nodiscard]] const std::string& text() const {
    const auto* value = std::get_if<std::string>(&node_->value);
    if (value == nullptr) refuse("is not a text");
    return *value;
  }

  /// Throws bad_file with this field's file and name.
  [[noreturn]] void refuse(const std::string& reason) const {
    detail::refuse(*file_, name_, reason);
  }

 private:
  JsonField(std::shared_ptr<const std::string> file, std::shared_ptr<const detail::JsonNode> root,
            const detail::JsonNode* node, std::string name)
      : file_{std::move(file)}, root_{std::move(root)}, node_{node}, name_{std::move(name)} {}

  [[nodiscard]] const detail::JsonMembers& members() const {
    const auto* members = std::get_if<detail::JsonMembers>(&node_->value);
    if (members == nullptr) refuse("is not an object");
    return *members;
  }
  [[nodiscard]] JsonField child(const detail::JsonNode& node, const std::string& key) const {
    return JsonField{file_, root_, &node, name_.empty() ? key : name_ + "." + key};
  }

  std::shared_ptr<const std::string> file_;
  std::shared_ptr<const detail::JsonNode> root_;
  const detail::JsonNode* node_;
  std::string name_;
};

}  // namespace sjd::hosts
