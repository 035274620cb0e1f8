// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
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
struct JsonMember;
using JsonList = std::vector<JsonNode>;
using JsonMembers = std::vector<JsonMember>;

struct JsonNode {
  std::variant<std::monostate, bool, std::int64_t, double, std::string, JsonList, JsonMembers>
      value;
};

struct JsonMember {
  std::string name;
  JsonNode node;
};

struct JsonDocument {
  std::string file;
  JsonNode root;
};

/// The way from `here` to `wanted`, like "noise.levels[2]"; false if it does not lie below. Only
/// refusals ask, so that a field need not carry its name.
[[nodiscard]] inline bool find_name(const JsonNode& here, const JsonNode* wanted,
                                    std::string& name) {
  if (&here == wanted) return true;
  if (const auto* list = std::get_if<JsonList>(&here.value)) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (!find_name((*list)[i], wanted, name)) continue;
      name.insert(0, "[" + std::to_string(i) + "]" + (name.empty() || name[0] == '[' ? "" : "."));
      return true;
    }
  } else if (const auto* members = std::get_if<JsonMembers>(&here.value)) {
    for (const auto& [key, node] : *members) {
      if (!find_name(node, wanted, name)) continue;
      name.insert(0, key + (name.empty() || name[0] == '[' ? "" : "."));
      return true;
    }
  }
  return false;
}

/// Builds JsonNodes from parser events; ends the parse, by false, at duplicate keys and at whatever
/// exceeds the limits.
class JsonBuilder {
 public:
  JsonBuilder(std::string file, JsonLimits limits) : file_{std::move(file)}, limits_{limits} {}

  [[nodiscard]] JsonNode take() { return std::move(root_); }
  /// Throws what ended the parse; from here, since an exception is dear on its way out of a parser.
  [[noreturn]] void refuse() const { detail::refuse(file_, refused_, reason_); }

  bool null() { return scalar(std::monostate{}); }
  bool boolean(bool value) { return scalar(value); }
  bool number_integer(std::int64_t value) { return scalar(value); }
  bool number_unsigned(std::uint64_t value) {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (value > most) return end(key_, "the number is too large");
    return scalar(static_cast<std::int64_t>(value));
  }
  bool number_float(double value, const std::string&) { return scalar(value); }
  bool string(std::string& value) { return scalar(std::move(value)); }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(JsonMembers{}); }
  bool start_array(std::size_t) { return open(JsonList{}); }
  bool end_array() { return close(); }
  bool end_object() {
    names_.clear();
    for (const auto& [name, node] : std::get<JsonMembers>(open_.back()->value)) {
      names_.push_back(name);
    }
    std::sort(names_.begin(), names_.end());
    const auto twin = std::adjacent_find(names_.begin(), names_.end());
    return twin == names_.end() ? close() : end(*twin, "the key stands twice");
  }
  bool key(std::string& name) {
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& error) {
    return end("byte " + std::to_string(byte), printable(error.what()));
  }

 private:
  template <class T>
  bool scalar(T&& value) {
    return add(JsonNode{std::forward<T>(value)}) != nullptr;
  }
  template <class T>
  bool open(T container) {
    if (static_cast<int>(open_.size()) >= limits_.depth) return end(key_, "nested too deeply");
    JsonNode* node = add(JsonNode{std::move(container)});
    if (node != nullptr) open_.push_back(node);
    return node != nullptr;
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  bool end(std::string_view what, std::string reason) {
    refused_ = what;
    reason_ = std::move(reason);
    return false;
  }
  /// Where the node stands now; null if it is one too many.
  JsonNode* add(JsonNode node) {
    const auto surplus = [&](const char* reason) {
      end(key_, reason);
      return nullptr;
    };
    if (++count_ > limits_.values) return surplus("too many values");
    if (open_.empty()) return &(root_ = std::move(node));
    if (auto* list = std::get_if<JsonList>(&open_.back()->value)) {
      if (std::ssize(*list) >= limits_.items) return surplus("too many items in an array");
      return &list->emplace_back(std::move(node));
    }
    auto& members = std::get<JsonMembers>(open_.back()->value);
    if (std::ssize(members) >= limits_.members) return surplus("too many members");
    members.push_back({std::move(key_), std::move(node)});
    return &members.back().node;
  }

  std::string file_;
  JsonLimits limits_;
  JsonNode root_;
  std::vector<JsonNode*> open_;          // only the innermost container grows, so these stay valid
  std::vector<std::string_view> names_;  // of the object that ends
  std::string key_;
  std::int64_t count_ = 0;
  std::string refused_;
  std::string reason_;
};

}  // namespace detail

/// A value of a JSON file; every access is checked, and every refusal names the file and the field.
///
/// memory  fields of one file share what was parsed; it lives as long as one of them
class JsonField {
 public:
  /// Parses `text`, which came from `file`. Duplicate keys, numbers beyond 63 bits and invalid
  /// UTF-8 are refused.
  [[nodiscard]] static JsonField parse(std::string_view text, const std::string& file,
                                       JsonLimits limits = {}) {
    detail::JsonBuilder builder{file, limits};
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) builder.refuse();
    auto document =
        std::make_shared<const detail::JsonDocument>(detail::JsonDocument{file, builder.take()});
    const detail::JsonNode* node = &document->root;
    return JsonField{std::move(document), node};
  }

  /// Reads and parses a file.
  [[nodiscard]] static JsonField read(const std::filesystem::path& path, JsonLimits limits = {}) {
    return parse(detail::read_text(path, limits.bytes), path.string(), limits);
  }

  /// Member `name` of an object; refused if it is missing.
  [[nodiscard]] JsonField operator[](std::string_view name) const {
    for (const auto& [key, node] : members()) {
      if (key == name) return JsonField{document_, &node};
    }
    refuse("has no field \"" + std::string{name} + "\"");
  }

  /// Refuses an object with a member that is not among `names`.
  void only(std::initializer_list<std::string_view> names) const {
    for (const auto& [key, node] : members()) {
      if (std::find(names.begin(), names.end(), key) == names.end()) {
        JsonField{document_, &node}.refuse("is not a field of this format");
      }
    }
  }

  /// All members of an object, in file order; a name lives as long as a field of the file.
  [[nodiscard]] std::vector<std::pair<std::string_view, JsonField>> fields() const {
    std::vector<std::pair<std::string_view, JsonField>> result;
    result.reserve(members().size());
    for (const auto& [key, node] : members()) {
      result.emplace_back(key, JsonField{document_, &node});
    }
    return result;
  }

  /// All elements of an array.
  [[nodiscard]] std::vector<JsonField> items() const {
    const auto* list = std::get_if<detail::JsonList>(&node_->value);
    if (list == nullptr) refuse("is not an array");
    std::vector<JsonField> result;
    result.reserve(list->size());
    for (const detail::JsonNode& node : *list) result.push_back(JsonField{document_, &node});
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
    std::string name;
    static_cast<void>(detail::find_name(document_->root, node_, name));
    detail::refuse(document_->file, name, reason);
  }

 private:
  JsonField(std::shared_ptr<const detail::JsonDocument> document, const detail::JsonNode* node)
      : document_{std::move(document)}, node_{node} {}

  [[nodiscard]] const detail::JsonMembers& members() const {
    const auto* members = std::get_if<detail::JsonMembers>(&node_->value);
    if (members == nullptr) refuse("is not an object");
    return *members;
  }

  std::shared_ptr<const detail::JsonDocument> document_;
  const detail::JsonNode* node_;
};

}  // namespace sjd::hosts
