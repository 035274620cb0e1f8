// SPDX-License-Identifier: Apache-2.0
#include "raster.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <sjd/core/error.hpp>
#include <string>
#include <system_error>

#include "png.hpp"

namespace sjd::paint {

Raster::Raster(std::int64_t w, std::int64_t h, Rgb colour)
    : width{w}, height{h}, rgb(static_cast<std::size_t>(w * h * 3)) {
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = colour[i % 3];
}

Rgb Raster::at(std::int64_t x, std::int64_t y) const {
  const auto i = static_cast<std::size_t>((y * width + x) * 3);
  return {rgb[i], rgb[i + 1], rgb[i + 2]};
}

void Raster::set(std::int64_t x, std::int64_t y, Rgb colour) {
  std::copy(colour.begin(), colour.end(), rgb.begin() + (y * width + x) * 3);
}

void Raster::paste(const Raster& other, std::int64_t x, std::int64_t y) {
  for (std::int64_t row = 0; row < std::min(other.height, height - y); ++row) {
    for (std::int64_t column = 0; column < std::min(other.width, width - x); ++column) {
      set(x + column, y + row, other.at(column, row));
    }
  }
}

Raster upscale(const Raster& picture, std::int64_t factor) {
  Raster large{picture.width * factor, picture.height * factor, white};
  for (std::int64_t y = 0; y < large.height; ++y) {
    for (std::int64_t x = 0; x < large.width; ++x) {
      large.set(x, y, picture.at(x / factor, y / factor));
    }
  }
  return large;
}

SheetLayout sheet_layout(const SheetContent& content, std::int64_t most) {
  const auto [groups, abreast, width, height, gap] = content;
  if (groups * abreast == 1) return {1, width, height};
  const auto square = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(groups))));
  const std::int64_t room_across =
      std::max<std::int64_t>((most - gap) / (abreast * (width + gap)), 1);
  const std::int64_t room_down = std::max<std::int64_t>((most - gap) / (height + gap), 1);
  const std::int64_t least = (groups + room_down - 1) / room_down;
  const std::int64_t across = std::min(std::max(square, least), room_across);
  const std::int64_t rows = (groups + across - 1) / across;
  const std::int64_t columns = across * abreast;
  return {columns, columns * (width + gap) + gap, rows * (height + gap) + gap};
}

Raster contact_sheet(std::span<const Raster> pictures, std::int64_t columns, std::int64_t gap) {
  if (pictures.size() == 1) return pictures.front();
  const auto count = static_cast<std::int64_t>(pictures.size());
  const std::int64_t rows = (count + columns - 1) / columns;
  const std::int64_t pitch_x = pictures.front().width + gap;
  const std::int64_t pitch_y = pictures.front().height + gap;
  Raster sheet{columns * pitch_x + gap, rows * pitch_y + gap, sheet_colour};
  for (std::int64_t i = 0; i < count; ++i) {
    sheet.paste(pictures[static_cast<std::size_t>(i)], gap + i % columns * pitch_x,
                gap + i / columns * pitch_y);
  }
  return sheet;
}

void check_writable(const std::filesystem::path& path) {
  const auto fail = [&](const std::string& reason) {
    throw Error{ErrorCode::io, path.string() + ": cannot write: " + reason};
  };
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    fail("it is there and is not a regular file");
  }
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    fail(folder.string() + ": " + std::strerror(errno));
  }
}

void write_picture(const std::filesystem::path& path, const Raster& picture) {
  check_writable(path);
  write_png(path, picture.rgb, picture.height, picture.width);
}

}  // namespace sjd::paint
