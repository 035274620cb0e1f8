// SPDX-License-Identifier: Apache-2.0
#include "picture_io.hpp"

#include <png.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

namespace sjd::train {
namespace {

using Colour = std::array<std::uint8_t, 3>;

void dot(Picture& inout_picture, std::int64_t row, std::int64_t column, Colour colour) {
  if (row < 0 || column < 0 || row >= inout_picture.height || column >= inout_picture.width) {
    return;
  }
  const auto at = static_cast<std::ptrdiff_t>((row * inout_picture.width + column) * 3);
  std::copy(colour.begin(), colour.end(), inout_picture.pixels.begin() + at);
}

}  // namespace

Picture blank_picture(std::int64_t height, std::int64_t width, std::uint8_t value) {
  return {height, width,
          std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * 3), value)};
}

void paste(Picture& inout_canvas, std::span<const std::uint8_t> pixels, std::int64_t height,
           std::int64_t width, std::int64_t top, std::int64_t left) {
  for (std::int64_t row = 0; row < height; ++row) {
    for (std::int64_t column = 0; column < width; ++column) {
      const auto* pixel = &pixels[static_cast<std::size_t>((row * width + column) * 3)];
      dot(inout_canvas, top + row, left + column, {pixel[0], pixel[1], pixel[2]});
    }
  }
}

Picture tile_grid(std::span<const std::uint8_t> tiles, std::int64_t rows, std::int64_t columns,
                  std::int64_t size, std::int64_t gap) {
  Picture grid = blank_picture(rows * (size + gap) + gap, columns * (size + gap) + gap);
  const auto tile_bytes = static_cast<std::size_t>(size * size * 3);
  if (tiles.size() != tile_bytes * static_cast<std::size_t>(rows * columns)) {
    throw std::runtime_error("tile_grid: the tiles do not fill rows x columns");
  }
  for (std::int64_t index = 0; index < rows * columns; ++index) {
    paste(grid, tiles.subspan(static_cast<std::size_t>(index) * tile_bytes, tile_bytes), size, size,
          gap + index / columns * (size + gap), gap + index % columns * (size + gap));
  }
  return grid;
}

Picture enlarge(const Picture& picture, std::int64_t factor) {
  Picture large = blank_picture(picture.height * factor, picture.width * factor);
  for (std::int64_t row = 0; row < large.height; ++row) {
    for (std::int64_t column = 0; column < large.width; ++column) {
      const auto at = (row / factor * picture.width + column / factor) * 3;
      const auto* pixel = &picture.pixels[static_cast<std::size_t>(at)];
      dot(large, row, column, {pixel[0], pixel[1], pixel[2]});
    }
  }
  return large;
}

void write_png(const std::filesystem::path& path, const Picture& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGB;
  const std::string partial = path.string() + ".partial";
  if (png_image_write_to_file(&image, partial.c_str(), 0, picture.pixels.data(), 0, nullptr) == 0) {
    throw std::runtime_error(path.string() + ": " + image.message);
  }
  std::filesystem::rename(partial, path);
}

}  // namespace sjd::train
