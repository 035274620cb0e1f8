// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/hosts/linear.hpp"
#include "sjd/hosts/safetensors.hpp"
#include "sjd/model.hpp"

namespace sjd::hosts {

namespace detail {

/// An image [height, width, channels] inside a border of one zero pixel, channels a multiple of 32.
class BorderedImage {
 public:
  BorderedImage(std::int64_t height, std::int64_t width, std::int64_t channels)
      : height_{height},
        width_{width},
        channels_{(channels + panel_width - 1) / panel_width * panel_width},
        data_{(height + 2) * (width + 2) * channels_} {}

  [[nodiscard]] std::int64_t height() const noexcept { return height_; }
  [[nodiscard]] std::int64_t width() const noexcept { return width_; }
  [[nodiscard]] std::int64_t channels() const noexcept { return channels_; }
  /// Pixel (row, column) [channels]; -1 and the extents are the border.
  [[nodiscard]] float* pixel(std::int64_t row, std::int64_t column) const {
    return data_.data() + ((row + 1) * (width_ + 2) + column + 1) * channels_;
  }

 private:
  std::int64_t height_;
  std::int64_t width_;
  std::int64_t channels_;
  AlignedArray<float> data_;  // [height + 2, width + 2, channels]
};

/// A 3x3 convolution, stride 1, zero padding 1, as one packed product per kernel row: the three
/// pixels under a kernel row lie side by side, so the rows of the product are overlapping windows
/// of the image and nothing is copied.
class Convolution {
 public:
  Convolution(std::span<const float> weight, std::span<const float> bias, std::int64_t outputs,
              std::int64_t inputs)
      : outputs_{outputs} {
    const std::int64_t padded_inputs = (inputs + panel_width - 1) / panel_width * panel_width;
    const std::int64_t padded_outputs = (outputs + panel_width - 1) / panel_width * panel_width;
    bias_.assign(static_cast<std::size_t>(padded_outputs), 0.0F);
    std::copy(bias.begin(), bias.end(), bias_.begin());
    std::vector<float> slice(static_cast<std::size_t>(outputs * 3 * padded_inputs));
    for (std::int64_t y = 0; y < 3; ++y) {
      for (std::int64_t out = 0; out < outputs; ++out) {
        for (std::int64_t x = 0; x < 3; ++x) {
          for (std::int64_t in = 0; in < inputs; ++in) {
            slice[static_cast<std::size_t>((out * 3 + x) * padded_inputs + in)] =
                weight[static_cast<std::size_t>(((out * inputs + in) * 3 + y) * 3 + x)];
          }
        }
      }
      rows_[static_cast<std::size_t>(y)] =
          PackedLinear{slice, outputs, 3 * padded_inputs, Storage::fp32};
    }
  }

  [[nodiscard]] std::int64_t outputs() const noexcept { return outputs_; }

  void apply(const KernelTable& kernel, const BorderedImage& x, BorderedImage& y) const {
    for (std::int64_t row = 0; row < x.height(); ++row) {
      for (std::int64_t column = 0; column < x.width(); ++column) {
        std::copy(bias_.begin(), bias_.end(), y.pixel(row, column));
      }
      for (std::int64_t k = 0; k < 3; ++k) {
        const PackedLinear& linear = rows_[static_cast<std::size_t>(k)];
        linear.apply(kernel, x.pixel(row + k - 1, -1), x.channels(),
                     {.rows = x.width(),
                      .panels = linear.panels(),
                      .y = y.pixel(row, 0),
                      .y_stride = y.channels(),
                      .accumulate = true});
      }
    }
  }

 private:
  std::int64_t outputs_;
  std::vector<float> bias_;           // [outputs, padded]
  std::array<PackedLinear, 3> rows_;  // 3 * inputs -> outputs, one per kernel row
};

}  // namespace detail

/// A decoded picture.
struct Picture {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<float> rgb;  ///< [height, width, 3], in [0, 1]

  /// The same in bytes, rounded to nearest.
  [[nodiscard]] std::vector<std::uint8_t> bytes() const {
    std::vector<std::uint8_t> result(rgb.size());
    std::transform(rgb.begin(), rgb.end(), result.begin(), [](float value) {
      return static_cast<std::uint8_t>(std::lround(value * 255.0F));
    });
    return result;
  }
};

/// Turns image codes into pixels: the patches of the codebook, corrected by a small convolutional
/// network (docs/checkpoint.md). Each code becomes 4x4 pixels.
class PictureDecoder {
 public:
  static constexpr std::int64_t patch_size = 4;

  /// Reads decoder.safetensors.
  ///
  /// errors  bad_file naming the tensor; io
  [[nodiscard]] static PictureDecoder read(const std::filesystem::path& path,
                                           InstructionSet set = best_instruction_set()) {
    return PictureDecoder{SafetensorsFile{path}, set};
  }

  /// Codes that the decoder knows.
  [[nodiscard]] std::int64_t vocab_size() const noexcept { return vocab_; }

  /// The picture of `rows` x `columns` codes, given row by row.
  ///
  /// edge    a code decodes to the same pixels on every machine
  /// errors  invalid_argument for a wrong number of codes or a code outside the codebook
  [[nodiscard]] Picture decode(std::span<const TokenId> codes, std::int64_t rows,
                               std::int64_t columns) const {
    expects(rows >= 1 && rows <= 4'096 && columns >= 1 && columns <= 4'096 &&
                static_cast<std::int64_t>(codes.size()) == rows * columns,
            ErrorCode::invalid_argument, "PictureDecoder: codes are not [rows, columns]");
    for (const TokenId code : codes) {
      expects(code >= 0 && code < vocab_, ErrorCode::invalid_argument,
              "PictureDecoder: a code is outside the codebook");
    }
    return assemble(codes, correction(codes, rows, columns));
  }

 private:
  using Image = detail::BorderedImage;
  using Convolution = detail::Convolution;

  PictureDecoder(const SafetensorsFile& file, InstructionSet set) : kernel_{&kernels(set)} {
    const TensorInfo& book = file.info("codebook");
    const TensorInfo& embed = file.info("embed.weight");
    if (book.shape.size() != 2) file.refuse("codebook", "is not [codes, 48]");
    if (embed.shape.size() != 2) file.refuse("embed.weight", "is not [codes, channels]");
    vocab_ = book.shape[0];
    channels_ = embed.shape[1];
    codebook_ = floats(file, "codebook", {vocab_, 3 * patch_size * patch_size});
    for (const float value : codebook_) {
      if (value < 0.0F || value > 1.0F) file.refuse("codebook", "holds a value outside [0, 1]");
    }
    embedding_ = floats(file, "embed.weight", {vocab_, channels_});
    std::int64_t width = channels_;
    for (const char* name :
         {"res0.conv1", "res0.conv2", "res1.conv1", "res1.conv2", "up0", "res2.conv1", "res2.conv2",
          "up1", "res3.conv1", "res3.conv2", "out"}) {
      width = add_layer(file, name, width);
    }
    for (const auto& [name, info] : file.tensors()) {
      if (!seen_.contains(name)) file.refuse(name, "is not a tensor of a picture decoder");
    }
  }

  [[nodiscard]] std::vector<float> floats(const SafetensorsFile& file, const std::string& name,
                                          std::vector<std::int64_t> shape) {
    seen_.insert(name);
    return file.read_floats(name, shape);
  }

  /// Reads one convolution and returns its channels; residual blocks keep them, `out` makes 3.
  std::int64_t add_layer(const SafetensorsFile& file, const std::string& name,
                         std::int64_t inputs) {
    const TensorInfo& info = file.info(name + ".weight");
    const bool up = name.starts_with("up");
    const std::int64_t outputs = name == "out"                  ? 3
                                 : up && info.shape.size() == 4 ? info.shape[0]
                                                                : inputs;
    if (outputs < 1 || outputs > 4'096) file.refuse(name + ".weight", "bad number of outputs");
    const std::vector<float> weight = floats(file, name + ".weight", {outputs, inputs, 3, 3});
    const std::vector<float> bias = floats(file, name + ".bias", {outputs});
    layers_.emplace_back(weight, bias, outputs, inputs);
    return outputs;
  }

  void silu(const Image& x, const Image& y) const {
    for (std::int64_t row = 0; row < x.height(); ++row) {
      kernel_->silu(x.pixel(row, 0), y.pixel(row, 0), x.width() * x.channels());
    }
  }

  /// x + conv2(silu(conv1(silu(x)))), in place.
  void residual(std::size_t first, Image& inout_x) const {
    Image activated{inout_x.height(), inout_x.width(), inout_x.channels()};
    Image inner{inout_x.height(), inout_x.width(), inout_x.channels()};
    silu(inout_x, activated);
    layers_[first].apply(*kernel_, activated, inner);
    silu(inner, inner);
    layers_[first + 1].apply(*kernel_, inner, activated);
    for (std::int64_t row = 0; row < inout_x.height(); ++row) {
      float* out = inout_x.pixel(row, 0);
      const float* change = activated.pixel(row, 0);
      for (std::int64_t i = 0; i < inout_x.width() * inout_x.channels(); ++i) out[i] += change[i];
    }
  }

  /// silu(conv(nearest2x(x)))
  [[nodiscard]] Image enlarge(std::size_t layer, const Image& x) const {
    Image wide{2 * x.height(), 2 * x.width(), x.channels()};
    for (std::int64_t row = 0; row < wide.height(); ++row) {
      for (std::int64_t column = 0; column < wide.width(); ++column) {
        std::copy_n(x.pixel(row / 2, column / 2), x.channels(), wide.pixel(row, column));
      }
    }
    Image result{wide.height(), wide.width(), layers_[layer].outputs()};
    layers_[layer].apply(*kernel_, wide, result);
    silu(result, result);
    return result;
  }

  /// The network's part of the picture, its first three channels.
  [[nodiscard]] Image correction(std::span<const TokenId> codes, std::int64_t rows,
                                 std::int64_t columns) const {
    Image small{rows, columns, channels_};
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      const std::int64_t code = codes[static_cast<std::size_t>(i)];
      std::copy_n(embedding_.begin() + code * channels_, channels_,
                  small.pixel(i / columns, i % columns));
    }
    residual(0, small);
    residual(2, small);
    Image middle = enlarge(4, small);
    residual(5, middle);
    Image large = enlarge(7, middle);
    residual(8, large);
    Image result{large.height(), large.width(), 3};
    layers_[10].apply(*kernel_, large, result);
    return result;
  }

  [[nodiscard]] Picture assemble(std::span<const TokenId> codes, const Image& correction) const {
    Picture picture{correction.height(), correction.width(), {}};
    picture.rgb.resize(static_cast<std::size_t>(picture.height * picture.width * 3));
    const std::int64_t columns = picture.width / patch_size;
    for (std::int64_t row = 0; row < picture.height; ++row) {
      for (std::int64_t column = 0; column < picture.width; ++column) {
        const std::int64_t code =
            codes[static_cast<std::size_t>(row / patch_size * columns + column / patch_size)];
        const std::int64_t inside = row % patch_size * patch_size + column % patch_size;
        const float* patch = codebook_.data() + (code * patch_size * patch_size + inside) * 3;
        const float* change = correction.pixel(row, column);
        float* out = picture.rgb.data() + (row * picture.width + column) * 3;
        for (int i = 0; i < 3; ++i) out[i] = std::clamp(patch[i] + change[i], 0.0F, 1.0F);
      }
    }
    return picture;
  }

  const KernelTable* kernel_;
  std::int64_t vocab_ = 0;
  std::int64_t channels_ = 0;
  std::vector<float> codebook_;      // [vocab, 4, 4, 3]
  std::vector<float> embedding_;     // [vocab, channels]
  std::vector<Convolution> layers_;  // in the order of the constructor
  std::set<std::string> seen_;
};

}  // namespace sjd::hosts
