// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sjd::train {

inline constexpr std::int64_t drawn_size = 128;

/// One emoji as the font draws it.
struct Drawing {
  std::uint32_t glyph = 0;
  std::vector<std::uint8_t> pixels;  // [128, 128, 4] RGBA, straight alpha
  std::int64_t cut_pixels = 0;       // opaque pixels that did not fit into 128 x 128
};

/// A colour bitmap font (CBDT), shaped by HarfBuzz and read by FreeType.
class EmojiFont {
 public:
  /// throws  std::runtime_error naming the file
  explicit EmojiFont(const std::filesystem::path& path);
  ~EmojiFont();

  EmojiFont(const EmojiFont&) = delete;
  EmojiFont& operator=(const EmojiFont&) = delete;

  /// Draws a sequence, or nothing when it does not shape to exactly one glyph with a bitmap.
  [[nodiscard]] std::optional<Drawing> draw(const std::string& emoji) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sjd::train
