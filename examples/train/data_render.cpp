// SPDX-License-Identifier: Apache-2.0
#include "data_render.hpp"

#include <ft2build.h>
#include <hb-ft.h>
#include <hb.h>

#include <algorithm>
#include <stdexcept>
#include FT_FREETYPE_H

namespace sjd::train {
namespace {

/// Undoes the premultiplication of one BGRA pixel.
void store_straight(const std::uint8_t* bgra, std::uint8_t* rgba) {
  const unsigned alpha = bgra[3];
  rgba[3] = bgra[3];
  for (int channel = 0; channel < 3; ++channel) {
    const unsigned value = bgra[2 - channel];
    const unsigned straight = alpha == 0 ? 0 : (value * 255 + alpha / 2) / alpha;
    rgba[channel] = static_cast<std::uint8_t>(std::min(straight, 255U));
  }
}

/// Centres a bitmap on the 128 x 128 canvas; the font draws 128 x 128 art on 136 x 128.
void centre(const FT_Bitmap& bitmap, Drawing& inout_drawing) {
  const auto height = static_cast<std::int64_t>(bitmap.rows);
  const auto width = static_cast<std::int64_t>(bitmap.width);
  const std::int64_t top = (drawn_size - height) / 2;
  const std::int64_t left = (drawn_size - width) / 2;
  inout_drawing.pixels.assign(drawn_size * drawn_size * 4, 0);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const std::uint8_t* pixel = bitmap.buffer + y * bitmap.pitch + x * 4;
      const std::int64_t row = y + top;
      const std::int64_t column = x + left;
      if (row < 0 || column < 0 || row >= drawn_size || column >= drawn_size) {
        inout_drawing.cut_pixels += pixel[3] > 127 ? 1 : 0;
        continue;
      }
      store_straight(
          pixel, &inout_drawing.pixels[static_cast<std::size_t>((row * drawn_size + column) * 4)]);
    }
  }
}

}  // namespace

struct EmojiFont::State {
  FT_Library library = nullptr;
  FT_Face face = nullptr;
  hb_font_t* font = nullptr;

  ~State() {
    if (font != nullptr) hb_font_destroy(font);
    if (face != nullptr) FT_Done_Face(face);
    if (library != nullptr) FT_Done_FreeType(library);
  }
};

EmojiFont::EmojiFont(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  if (FT_Init_FreeType(&state_->library) != 0) throw std::runtime_error("FreeType: no library");
  if (FT_New_Face(state_->library, path.c_str(), 0, &state_->face) != 0) {
    throw std::runtime_error(path.string() + ": not a readable font");
  }
  if (!FT_HAS_COLOR(state_->face) || FT_Select_Size(state_->face, 0) != 0) {
    throw std::runtime_error(path.string() + ": has no colour bitmaps");
  }
  state_->font = hb_ft_font_create_referenced(state_->face);
}

EmojiFont::~EmojiFont() = default;

std::optional<Drawing> EmojiFont::draw(const std::string& emoji) const {
  const std::unique_ptr<hb_buffer_t, decltype(&hb_buffer_destroy)> buffer(hb_buffer_create(),
                                                                          &hb_buffer_destroy);
  hb_buffer_add_utf8(buffer.get(), emoji.c_str(), -1, 0, -1);
  hb_buffer_guess_segment_properties(buffer.get());
  hb_shape(state_->font, buffer.get(), nullptr, 0);
  unsigned count = 0;
  const hb_glyph_info_t* glyphs = hb_buffer_get_glyph_infos(buffer.get(), &count);
  if (count != 1 || glyphs[0].codepoint == 0) return std::nullopt;
  Drawing drawing;
  drawing.glyph = glyphs[0].codepoint;
  if (FT_Load_Glyph(state_->face, drawing.glyph, FT_LOAD_COLOR) != 0) return std::nullopt;
  const FT_Bitmap& bitmap = state_->face->glyph->bitmap;
  if (bitmap.pixel_mode != FT_PIXEL_MODE_BGRA || bitmap.rows == 0) return std::nullopt;
  centre(bitmap, drawing);
  return drawing;
}

}  // namespace sjd::train
