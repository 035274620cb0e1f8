// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "sjd/core/error.hpp"
#include "sjd/hosts/kernels.hpp"

namespace sjd::hosts {

/// How weights are kept; both are widened to fp32 before they are multiplied.
enum class Storage : std::uint8_t {
  bf16,  ///< half the memory traffic; the weights must be bf16 numbers
  fp32,
};

/// Zeroed memory at cache-line alignment; fixed size.
template <class T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(std::int64_t size)
      : data_{static_cast<T*>(
            ::operator new (static_cast<std::size_t>(size) * sizeof(T), std::align_val_t{64}))},
        size_{size} {
    std::fill_n(data_.get(), size, T{});
  }
  [[nodiscard]] T* data() const noexcept { return data_.get(); }
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }

 private:
  struct Free {
    void operator()(T* pointer) const { ::operator delete (pointer, std::align_val_t{64}); }
  };
  std::unique_ptr<T, Free> data_;
  std::int64_t size_ = 0;
};

/// y = x W^T without bias, its weights packed once into panels of 32 outputs by all inputs.
///
/// Every output is one fp32 fma chain over ascending inputs, whatever the number of rows, the
/// threads, the instruction set or the storage.
class PackedLinear {
 public:
  PackedLinear() = default;

  /// Packs `weight` [outputs, inputs]; outputs are padded with zeros to a multiple of 32.
  ///
  /// errors  invalid_argument if bf16 storage would change a weight
  PackedLinear(std::span<const float> weight, std::int64_t outputs, std::int64_t inputs,
               Storage storage)
      : inputs_{inputs}, panels_{(outputs + panel_width - 1) / panel_width}, storage_{storage} {
    expects(
        outputs > 0 && inputs > 0 && static_cast<std::int64_t>(weight.size()) == outputs * inputs,
        ErrorCode::invalid_argument, "PackedLinear: weight is not [outputs, inputs]");
    if (storage == Storage::fp32) {
      wide_ = AlignedArray<float>{panels_ * inputs * panel_width};
    } else {
      narrow_ = AlignedArray<std::uint32_t>{panels_ * inputs * panel_row<std::uint32_t>};
    }
    for (std::int64_t output = 0; output < outputs; ++output) {
      pack(weight.subspan(static_cast<std::size_t>(output * inputs),
                          static_cast<std::size_t>(inputs)),
           output);
    }
  }

  [[nodiscard]] std::int64_t inputs() const noexcept { return inputs_; }
  [[nodiscard]] std::int64_t panels() const noexcept { return panels_; }
  /// Columns of y: outputs rounded up to a multiple of 32.
  [[nodiscard]] std::int64_t padded_outputs() const noexcept { return panels_ * panel_width; }

  /// Multiplies `rows` rows by panels [first, first + count).
  ///
  /// shapes  x [rows, inputs]; y [rows, count * 32], its first column belonging to panel `first`; overwritten, or
  ///         added to if `accumulate`
  void apply(const KernelTable& kernel, const float* x, std::int64_t x_stride, std::int64_t rows,
             std::int64_t first, std::int64_t count, float* y, std::int64_t y_stride,
             bool accumulate = false) const {
    if (storage_ == Storage::fp32) {
      kernel.product_fp32(Product<float>{x, x_stride, rows, inputs_,
                                         wide_.data() + first * inputs_ * panel_width,
                                         inputs_ * panel_width, count, y, y_stride, accumulate});
    } else {
      constexpr std::int64_t words = panel_row<std::uint32_t>;
      kernel.product_bf16(Product<std::uint32_t>{x, x_stride, rows, inputs_,
                                                 narrow_.data() + first * inputs_ * words,
                                                 inputs_ * words, count, y, y_stride, accumulate});
    }
  }

 private:
  void pack(std::span<const float> row, std::int64_t output) {
    const std::int64_t panel = output / panel_width;
    const std::int64_t column = output % panel_width;
    for (std::int64_t k = 0; k < inputs_; ++k) {
      const float value = row[static_cast<std::size_t>(k)];
      if (storage_ == Storage::fp32) {
        wide_.data()[(panel * inputs_ + k) * panel_width + column] = value;
        continue;
      }
      const auto bits = std::bit_cast<std::uint32_t>(value);
      expects((bits & 0xFFFFU) == 0, ErrorCode::invalid_argument,
              "PackedLinear: a weight is not a bf16 number; use Storage::fp32");
      std::uint32_t& word = narrow_.data()[(panel * inputs_ + k) * 16 + column % 16];
      word |= column < 16 ? bits >> 16U : bits;
    }
  }

  std::int64_t inputs_ = 0;
  std::int64_t panels_ = 0;
  Storage storage_ = Storage::bf16;
  AlignedArray<float> wide_;            // [panels, inputs, 32]
  AlignedArray<std::uint32_t> narrow_;  // [panels, inputs, 16], see panel_row
};

}  // namespace sjd::hosts
