// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sjd/hosts/detail/checked.hpp"
#include "sjd/hosts/detail/input_file.hpp"
#include "sjd/hosts/json.hpp"

static_assert(std::endian::native == std::endian::little,
              "safetensors holds little-endian numbers");

namespace sjd::hosts {

/// Element types that are read; any other is refused.
enum class TensorType : std::uint8_t { u8, i32, f16, bf16, f32 };

/// One entry of the header; its bytes are data_start + [begin, end).
struct TensorInfo {
  TensorType type = TensorType::f32;
  std::vector<std::int64_t> shape;
  std::int64_t elements = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// The value of an IEEE half; exact.
[[nodiscard]] inline float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000U) << 16U;
  const std::uint32_t exponent = (half >> 10U) & 31U;
  const std::uint32_t fraction = half & 1023U;
  if (exponent == 0) {
    const float tiny = static_cast<float>(fraction) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(tiny) | sign);
  }
  const std::uint32_t wide = exponent == 31U ? 255U : exponent + 112U;
  return std::bit_cast<float>(sign | (wide << 23U) | (fraction << 13U));
}

/// A safetensors file whose header has been checked completely: the tensors lie in the file without
/// a gap or an overlap, and each has exactly the bytes that its shape asks for.
///
/// memory  holds the header only; tensors are read on demand
/// errors  bad_file naming file, tensor and reason; io if the system refuses
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path) : file_{path} {
    constexpr std::int64_t largest_header = 100'000'000;
    constexpr std::int64_t prefix = 8;
    if (file_.size() < prefix + 2) refuse("", "is too short for a header");
    std::uint64_t announced = 0;
    file_.read(0, &announced, prefix);
    if (announced > static_cast<std::uint64_t>(std::min(largest_header, file_.size() - prefix))) {
      refuse("", "the header length is " + std::to_string(announced) +
                     ", more than the file or the limit allows");
    }
    const auto length = static_cast<std::int64_t>(announced);
    std::string header(static_cast<std::size_t>(length), '\0');
    file_.read(prefix, header.data(), length);
    if (header.empty() || header.front() != '{') refuse("", "the header does not begin with '{'");
    data_start_ = prefix + length;
    constexpr JsonLimits limits{
        .bytes = largest_header,
        .values = 3'000'000,
        .depth = 3,
        .items = 9,  // a shape; one more than is allowed, for the better message
        .members = most_tensors + 1};
    read_entries(JsonField::parse(header, file_.name(), limits));
    check_tiling();
  }

  [[nodiscard]] const std::string& name() const noexcept { return file_.name(); }
  [[nodiscard]] bool contains(const std::string& tensor) const { return tensors_.contains(tensor); }
  [[nodiscard]] const std::map<std::string, TensorInfo>& tensors() const noexcept {
    return tensors_;
  }

  /// The entry of `tensor`; refused if it is missing.
  [[nodiscard]] const TensorInfo& info(const std::string& tensor) const {
    const auto found = tensors_.find(tensor);
    if (found == tensors_.end()) refuse(tensor, "is missing");
    return found->second;
  }

  /// A floating-point tensor, widened to fp32 (exact), which must have this shape and only finite
  /// values.
  [[nodiscard]] std::vector<float> read_floats(const std::string& tensor,
                                               std::span<const std::int64_t> shape) const {
    const TensorInfo& entry = info(tensor);
    check_shape(tensor, entry, shape);
    std::vector<float> values(static_cast<std::size_t>(entry.elements));
    if (entry.type == TensorType::f32) {
      file_.read(data_start_ + entry.begin, values.data(), entry.end - entry.begin);
    } else if (entry.type == TensorType::bf16 || entry.type == TensorType::f16) {
      widen(entry, values);
    } else {
      refuse(tensor, "is not a floating-point tensor");
    }
    for (const float value : values) {
      if (!std::isfinite(value)) refuse(tensor, "holds a value that is not finite");
    }
    return values;
  }

  /// An I32 tensor, which must have this shape.
  [[nodiscard]] std::vector<std::int32_t> read_integers(const std::string& tensor,
                                                        std::span<const std::int64_t> shape) const {
    const TensorInfo& entry = info(tensor);
    check_shape(tensor, entry, shape);
    if (entry.type != TensorType::i32) refuse(tensor, "is not an I32 tensor");
    std::vector<std::int32_t> values(static_cast<std::size_t>(entry.elements));
    file_.read(data_start_ + entry.begin, values.data(), entry.end - entry.begin);
    return values;
  }

  /// Throws bad_file with this file's name.
  [[noreturn]] void refuse(std::string_view tensor, const std::string& reason) const {
    detail::refuse(file_.name(), tensor, reason);
  }

 private:
  static constexpr std::int64_t most_tensors = 200'000;

  void check_shape(const std::string& tensor, const TensorInfo& entry,
                   std::span<const std::int64_t> shape) const {
    if (std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end())) return;
    refuse(tensor, "has shape " + detail::shape_text(entry.shape) + " where " +
                       detail::shape_text(shape) + " is expected");
  }

  void widen(const TensorInfo& entry, std::span<float> values) const {
    std::vector<std::uint16_t> halves(values.size());
    file_.read(data_start_ + entry.begin, halves.data(), entry.end - entry.begin);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = entry.type == TensorType::f16
                      ? half_to_float(halves[i])
                      : std::bit_cast<float>(static_cast<std::uint32_t>(halves[i]) << 16U);
    }
  }

  void read_entries(const JsonField& header) {
    constexpr std::size_t longest_name = 1'024;
    for (const auto& [name, field] : header.fields()) {
      if (name == "__metadata__") {
        for (const auto& [key, value] : field.fields()) static_cast<void>(value.text());
        continue;
      }
      if (name.empty() || name.size() > longest_name) field.refuse("bad length of a tensor name");
      if (std::ssize(tensors_) == most_tensors) field.refuse("too many tensors");
      tensors_.emplace(std::string{name}, read_entry(field));
    }
  }

  [[nodiscard]] TensorInfo read_entry(const JsonField& field) const {
    field.only({"dtype", "shape", "data_offsets"});
    TensorInfo entry;
    const std::int64_t width = read_type(field["dtype"], entry.type);
    const auto shape = field["shape"].items();
    if (shape.size() > 8) field.refuse("has more than 8 dimensions");
    for (const JsonField& extent : shape) {
      entry.shape.push_back(extent.integer(0, std::numeric_limits<std::int64_t>::max()));
    }
    const auto offsets = field["data_offsets"].items();
    if (offsets.size() != 2) field.refuse("data_offsets is not a pair");
    const std::int64_t available = file_.size() - data_start_;
    entry.begin = offsets[0].integer(0, available);
    entry.end = offsets[1].integer(entry.begin, available);
    std::int64_t bytes = 0;
    if (!detail::checked_product(entry.shape, entry.elements) ||
        __builtin_mul_overflow(entry.elements, width, &bytes)) {
      field.refuse("the shape " + detail::shape_text(entry.shape) + " is too large");
    }
    if (bytes != entry.end - entry.begin) {
      field.refuse("the shape " + detail::shape_text(entry.shape) + " needs " +
                   std::to_string(bytes) + " bytes, the file gives " +
                   std::to_string(entry.end - entry.begin));
    }
    return entry;
  }

  /// Returns the bytes of one element.
  static std::int64_t read_type(const JsonField& field, TensorType& type) {
    struct Known {
      std::string_view name;
      TensorType type;
      std::int64_t width;
    };
    constexpr std::array<Known, 5> known{{{"U8", TensorType::u8, 1},
                                          {"I32", TensorType::i32, 4},
                                          {"F16", TensorType::f16, 2},
                                          {"BF16", TensorType::bf16, 2},
                                          {"F32", TensorType::f32, 4}}};
    for (const Known& entry : known) {
      if (entry.name == field.text()) {
        type = entry.type;
        return entry.width;
      }
    }
    field.refuse("the type \"" + detail::printable(field.text()) + "\" is not supported");
  }

  void check_tiling() const {
    std::vector<std::pair<const TensorInfo*, const std::string*>> order;
    order.reserve(tensors_.size());
    for (const auto& [name, entry] : tensors_) order.emplace_back(&entry, &name);
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
      return std::pair{a.first->begin, a.first->end} < std::pair{b.first->begin, b.first->end};
    });
    std::int64_t position = 0;
    for (const auto& [entry, name] : order) {
      if (entry->begin != position) {
        refuse(*name,
               entry->begin < position ? "overlaps another tensor" : "leaves a gap before it");
      }
      position = entry->end;
    }
    if (position != file_.size() - data_start_) refuse("", "bytes lie behind the last tensor");
  }

  detail::InputFile file_;
  std::int64_t data_start_ = 0;
  std::map<std::string, TensorInfo> tensors_;
};

}  // namespace sjd::hosts
