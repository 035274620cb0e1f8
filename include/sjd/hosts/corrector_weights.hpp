// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/hosts/linear.hpp"
#include "sjd/hosts/safetensors.hpp"

namespace sjd::hosts {

/// Rows of numbers that are read one at a time from all over a table too large for a near cache:
/// half as wide where storage is bf16.
class RowTable {
 public:
  RowTable() = default;

  /// shapes  values [rows, width]
  /// errors  invalid_argument if bf16 storage would change a number
  RowTable(std::span<const float> values, std::int64_t width, Storage storage)
      : width_{width},
        wide_{storage == Storage::fp32 ? static_cast<std::int64_t>(values.size()) : 0},
        narrow_{storage == Storage::bf16 ? static_cast<std::int64_t>(values.size()) : 0} {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (storage == Storage::fp32) {
        wide_.data()[i] = values[i];
        continue;
      }
      const auto bits = std::bit_cast<std::uint32_t>(values[i]);
      expects((bits & 0xFFFFU) == 0, ErrorCode::invalid_argument,
              "RowTable: a number is not a bf16 number; use Storage::fp32");
      narrow_.data()[i] = static_cast<std::uint16_t>(bits >> 16U);
    }
  }

  [[nodiscard]] std::int64_t rows() const {
    return width_ == 0 ? 0 : std::max(wide_.size(), narrow_.size()) / width_;
  }

  [[nodiscard]] float value(std::int64_t row, std::int64_t column) const {
    const std::int64_t at = row * width_ + column;
    if (narrow_.size() == 0) return wide_.data()[at];
    return std::bit_cast<float>(static_cast<std::uint32_t>(narrow_.data()[at]) << 16U);
  }

  /// sum [width] += row
  void add_to(float* sum, std::int64_t row) const {
    if (narrow_.size() == 0) {
      const float* source = wide_.data() + row * width_;
      for (std::int64_t j = 0; j < width_; ++j) sum[j] += source[j];
      return;
    }
    const std::uint16_t* source = narrow_.data() + row * width_;
    for (std::int64_t j = 0; j < width_; ++j) {
      sum[j] += std::bit_cast<float>(static_cast<std::uint32_t>(source[j]) << 16U);
    }
  }

  /// Asks for a row that is needed soon.
  void call_for(std::int64_t row) const {
    const bool wide = narrow_.size() == 0;
    const char* bytes = wide ? reinterpret_cast<const char*>(wide_.data())
                             : reinterpret_cast<const char*>(narrow_.data());
    const std::int64_t size = width_ * (wide ? 4 : 2);
    for (std::int64_t at = 0; at < size; at += 64) __builtin_prefetch(bytes + row * size + at);
  }

 private:
  std::int64_t width_ = 0;
  AlignedArray<float> wide_;            // [rows, width]
  AlignedArray<std::uint16_t> narrow_;  // [rows, width]
};

/// The tensors of corrector.safetensors; H = width of the head, d = hidden_dim, V = vocab.
struct CorrectorWeights {
  std::vector<std::int32_t>
      neighbours;  // [N], offsets to the left that the head looks at, ascending
  Storage storage = Storage::bf16;
  std::int64_t vocab = 0;
  std::int64_t width = 0;         // H
  std::int64_t distances = 0;     // D; larger distances share the last vector
  RowTable now;                   // [N, V + 1, H], row V: no token
  RowTable before;                // [N, V + 1, H]
  RowTable changed;               // [N, H]
  RowTable distance;              // [D, H]
  std::vector<float> inner_bias;  // [H]
  PackedLinear input;   // the rows that predicted the slot left of the draft and the draft -> H
  PackedLinear inner;   // H -> H
  PackedLinear output;  // H -> V
};

/// Reads corrector.safetensors for a model with `vocab` codes and hidden rows of `hidden_dim`.
///
/// errors  bad_file naming the tensor: missing, of another shape, not finite, unknown, or not a bf16 number where
///         storage is bf16
[[nodiscard]] inline CorrectorWeights read_corrector_weights(const std::filesystem::path& path,
                                                             std::int64_t vocab,
                                                             std::int64_t hidden_dim,
                                                             Storage storage);

namespace detail {

/// Reads the tensors of one corrector file and remembers which ones were asked for.
class CorrectorReader {
 public:
  CorrectorReader(const std::filesystem::path& path, Storage storage)
      : file_{path}, storage_{storage} {}

  [[nodiscard]] CorrectorWeights read(std::int64_t vocab, std::int64_t hidden_dim) {
    CorrectorWeights w;
    w.storage = storage_;
    w.vocab = vocab;
    w.width = extent("inner.bias", 0, 1, 4'096);
    w.distances = extent("distance.weight", 0, 2, 4'096);
    if (w.width % panel_width != 0) {
      file_.refuse("inner.bias", "the width of the head is not a multiple of 32");
    }
    read_neighbours(w);
    const auto count = static_cast<std::int64_t>(w.neighbours.size());
    w.now = table("now.weight", {count, vocab + 1, w.width});
    w.before = table("before.weight", {count, vocab + 1, w.width});
    w.changed = table("changed.weight", {count, w.width});
    w.distance = table("distance.weight", {w.distances, w.width});
    w.inner_bias = floats("inner.bias", {w.width});
    w.input = pack("input.weight", w.width, 2 * hidden_dim);
    w.inner = pack("inner.weight", w.width, w.width);
    w.output = pack("output.weight", vocab, w.width);
    for (const auto& [name, info] : file_.tensors()) {
      if (!seen_.contains(name)) file_.refuse(name, "is not a tensor of a corrector");
    }
    return w;
  }

 private:
  /// One extent of a tensor of `dimensions` dimensions that decides a size of the head.
  [[nodiscard]] std::int64_t extent(const std::string& name, std::size_t index,
                                    std::size_t dimensions, std::int64_t largest) const {
    const TensorInfo& info = file_.info(name);
    if (info.shape.size() != dimensions || info.shape[index] < 1 || info.shape[index] > largest) {
      file_.refuse(name, "has shape " + shape_text(info.shape));
    }
    return info.shape[index];
  }

  void read_neighbours(CorrectorWeights& w) {
    seen_.insert("neighbours");
    const std::int64_t shape[] = {extent("neighbours", 0, 1, 64)};
    w.neighbours = file_.read_integers("neighbours", shape);
    std::int32_t last = 0;
    for (const std::int32_t offset : w.neighbours) {
      if (offset <= last) file_.refuse("neighbours", "offsets are not positive and ascending");
      last = offset;
    }
  }

  [[nodiscard]] std::vector<float> floats(const std::string& name,
                                          const std::vector<std::int64_t>& shape) {
    seen_.insert(name);
    return file_.read_floats(name, shape);
  }

  [[nodiscard]] RowTable table(const std::string& name, const std::vector<std::int64_t>& shape) {
    const std::vector<float> values = floats(name, shape);
    try {
      return RowTable{values, shape.back(), storage_};
    } catch (const Error& error) {
      file_.refuse(name, error.what());
    }
  }

  [[nodiscard]] PackedLinear pack(const std::string& name, std::int64_t outputs,
                                  std::int64_t inputs) {
    const std::vector<float> weight = floats(name, {outputs, inputs});
    try {
      return PackedLinear{weight, outputs, inputs, storage_};
    } catch (const Error& error) {
      file_.refuse(name, error.what());
    }
  }

  SafetensorsFile file_;
  Storage storage_;
  std::set<std::string> seen_;
};

}  // namespace detail

inline CorrectorWeights read_corrector_weights(const std::filesystem::path& path,
                                               std::int64_t vocab, std::int64_t hidden_dim,
                                               Storage storage) {
  return detail::CorrectorReader{path, storage}.read(vocab, hidden_dim);
}

}  // namespace sjd::hosts
