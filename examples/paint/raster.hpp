// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace sjd::paint {

/// One colour, 8 bits a channel.
using Rgb = std::array<std::uint8_t, 3>;

inline constexpr Rgb white{255, 255, 255};

/// Between the pictures of a sheet: most of them are white at the rim.
inline constexpr Rgb sheet_colour{226, 226, 232};

/// A picture in memory.
struct Raster {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::vector<std::uint8_t> rgb;  // [height, width, 3]

  Raster() = default;
  Raster(std::int64_t w, std::int64_t h, Rgb colour);

  [[nodiscard]] Rgb at(std::int64_t x, std::int64_t y) const;
  void set(std::int64_t x, std::int64_t y, Rgb colour);

  /// Copies `other` so that its upper left corner lies at (x, y); what sticks out is cut off.
  void paste(const Raster& other, std::int64_t x, std::int64_t y);
};

/// Every pixel as a square of factor x factor.
[[nodiscard]] Raster upscale(const Raster& picture, std::int64_t factor);

/// What a contact sheet holds: `groups` times `abreast` pictures that stay side by side.
struct SheetContent {
  std::int64_t groups = 1;
  std::int64_t abreast = 1;
  std::int64_t width = 0;  ///< of a picture
  std::int64_t height = 0;
  std::int64_t gap = 0;
};

/// How it lies there, in pixels.
struct SheetLayout {
  std::int64_t columns = 1;  ///< pictures, whole groups
  std::int64_t width = 0;
  std::int64_t height = 0;
};

/// As many groups across as down; narrower or wider where only that has at most `most` pixels each
/// way. Larger than that only if every layout is.
[[nodiscard]] SheetLayout sheet_layout(const SheetContent& content, std::int64_t most);

/// Pictures of one size, row by row in `columns` columns, with `gap` pixels of sheet_colour
/// between and around them; a single picture stays as it is.
[[nodiscard]] Raster contact_sheet(std::span<const Raster> pictures, std::int64_t columns,
                                   std::int64_t gap);

/// Throws io if write_picture could not put a file there: a missing folder, a folder of that name,
/// or a device, which must not be replaced.
void check_writable(const std::filesystem::path& path);

/// Writes a PNG that is whole or not there.
///
/// errors  io naming the file and the system's reason
void write_picture(const std::filesystem::path& path, const Raster& picture);

}  // namespace sjd::paint
