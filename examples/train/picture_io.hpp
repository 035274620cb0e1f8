// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace sjd::train {

/// An 8-bit RGB picture in memory.
struct Picture {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<std::uint8_t> pixels;  // [height, width, 3]
};

/// A picture of one colour, white unless told otherwise.
[[nodiscard]] Picture blank_picture(std::int64_t height, std::int64_t width,
                                    std::uint8_t value = 255);

/// Copies `pixels` [height, width, 3] into `inout_canvas`; what falls outside is cut off.
void paste(Picture& inout_canvas, std::span<const std::uint8_t> pixels, std::int64_t height,
           std::int64_t width, std::int64_t top, std::int64_t left);

/// Lays out `tiles` [rows * columns, size, size, 3] row by row with `gap` white pixels between.
[[nodiscard]] Picture tile_grid(std::span<const std::uint8_t> tiles, std::int64_t rows,
                                std::int64_t columns, std::int64_t size, std::int64_t gap = 2);

/// Repeats every pixel `factor` times in both directions.
[[nodiscard]] Picture enlarge(const Picture& picture, std::int64_t factor);

/// Writes a PNG through a temporary file; throws std::runtime_error naming the file.
void write_png(const std::filesystem::path& path, const Picture& picture);

}  // namespace sjd::train
