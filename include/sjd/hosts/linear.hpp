// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>

#include "sjd/core/error.hpp"
#include "sjd/hosts/aligned_array.hpp"
#include "sjd/hosts/kernels.hpp"

namespace sjd::hosts {

/// How weights are kept, and with them the numbers that are multiplied by weights.
enum class Storage : std::uint8_t {
  bf16,  ///< fast; the weights must be bf16 numbers, activations are rounded to bf16 first
  fp32,
};

/// Rows of activations in the form that a PackedLinear of the same storage reads.
class Activations {
 public:
  /// shapes  [rows, size], size a multiple of 16; zeros
  Activations(Storage storage, std::int64_t rows, std::int64_t size)
      : stride_{(size + block_depth - 1) / block_depth * block_depth},
        wide_{storage == Storage::fp32 ? rows * stride_ : 0},
        narrow_{storage == Storage::bf16 ? rows * stride_ : 0} {}

  /// Stores x [size] at `column` of `row`; both are multiples of 16.
  void store(const KernelTable& kernel, std::int64_t row, std::int64_t column, const float* x,
             std::int64_t size) const {
    if (narrow_.size() == 0) {
      std::copy_n(x, size, wide_.data() + row * stride_ + column);
    } else {
      kernel.round_row(x, narrow_.data() + row * stride_ + column, size);
    }
  }

  [[nodiscard]] std::int64_t stride() const noexcept { return stride_; }
  [[nodiscard]] const float* wide(std::int64_t row) const { return wide_.data() + row * stride_; }
  [[nodiscard]] const std::uint16_t* narrow(std::int64_t row) const {
    return narrow_.data() + row * stride_;
  }

 private:
  std::int64_t stride_;
  AlignedArray<float> wide_;
  AlignedArray<std::uint16_t> narrow_;  // columns behind `size` stay zero: a block of Bf16Product
};

/// Which rows of activations, which panels of weights, where the outputs go.
struct LinearPart {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::int64_t first_panel = 0;
  std::int64_t panels = 0;
  float* y = nullptr;  ///< [rows, panels * 32], the outputs of first_panel first
  std::int64_t y_stride = 0;
  bool accumulate = false;  ///< adds to y instead of overwriting it
};

/// y = x W^T without bias, its weights packed once into panels of 32 outputs by all inputs.
///
/// fp32 storage: an output is one fp32 fma chain over ascending inputs. bf16 storage: the
/// arithmetic of Bf16Product. Neither depends on the number of rows, the threads or the instruction
/// set.
class PackedLinear {
 public:
  PackedLinear() = default;

  /// Packs `weight` [outputs, inputs]; outputs are padded with zeros to a multiple of 32.
  ///
  /// errors  invalid_argument if bf16 storage would change a weight
  PackedLinear(std::span<const float> weight, std::int64_t outputs, std::int64_t inputs,
               Storage storage)
      : inputs_{inputs},
        blocks_{(inputs + block_depth - 1) / block_depth},
        panels_{(outputs + panel_width - 1) / panel_width},
        storage_{storage} {
    expects(
        outputs > 0 && inputs > 0 && static_cast<std::int64_t>(weight.size()) == outputs * inputs,
        ErrorCode::invalid_argument, "PackedLinear: weight is not [outputs, inputs]");
    if (storage == Storage::fp32) {
      wide_ = AlignedArray<float>{panels_ * inputs * panel_width};
    } else {
      narrow_ = AlignedArray<std::uint32_t>{panels_ * blocks_ * 2 * half_block};
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

  /// One weight, as it was packed; 0 for the outputs that pad a panel.
  [[nodiscard]] float weight(std::int64_t output, std::int64_t input) const {
    const std::int64_t panel = output / panel_width;
    const std::int64_t column = output % panel_width;
    if (storage_ == Storage::fp32) {
      return wide_.data()[(panel * inputs_ + input) * panel_width + column];
    }
    const std::uint32_t word = narrow_.data()[word_of(output, input)];
    return std::bit_cast<float>(input % 2 == 0 ? word << 16U : word & 0xFFFF0000U);
  }

  /// Multiplies rows of activations [., inputs] of the same storage by some panels.
  void apply(const KernelTable& kernel, const Activations& x, const LinearPart& part) const {
    if (storage_ == Storage::fp32) {
      apply(kernel, x.wide(part.first_row), x.stride(), part);
      return;
    }
    const std::int64_t stride = blocks_ * 2 * half_block;
    kernel.product_bf16({x.narrow(part.first_row), x.stride(), part.rows, blocks_,
                         narrow_.data() + part.first_panel * stride, stride, part.panels, part.y,
                         part.y_stride, part.accumulate});
  }

  /// fp32 storage only: x [part.rows, inputs] may overlap from row to row; first_row is not used.
  void apply(const KernelTable& kernel, const float* x, std::int64_t x_stride,
             const LinearPart& part) const {
    const std::int64_t stride = inputs_ * panel_width;
    kernel.product_fp32({x, x_stride, part.rows, inputs_, wide_.data() + part.first_panel * stride,
                         stride, part.panels, part.y, part.y_stride, part.accumulate});
  }

 private:
  /// The word of two bf16 weights that holds one.
  [[nodiscard]] std::int64_t word_of(std::int64_t output, std::int64_t input) const {
    const std::int64_t column = output % panel_width;
    const std::int64_t half =
        (output / panel_width * blocks_ + input / block_depth) * 2 + column / 16;
    return half * half_block + input % block_depth / 2 * 16 + column % 16;
  }

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
      std::uint32_t& word = narrow_.data()[word_of(output, k)];
      word |= k % 2 == 0 ? bits >> 16U : bits;
    }
  }

  std::int64_t inputs_ = 0;
  std::int64_t blocks_ = 0;
  std::int64_t panels_ = 0;
  Storage storage_ = Storage::bf16;
  AlignedArray<float> wide_;            // [panels, inputs, 32]
  AlignedArray<std::uint32_t> narrow_;  // [panels, blocks, 2, half_block], see Bf16Product
};

}  // namespace sjd::hosts
