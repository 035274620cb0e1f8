// SPDX-License-Identifier: Apache-2.0
#include "data.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>

#include "data_captions.hpp"
#include "data_options.hpp"
#include "data_render.hpp"
#include "data_split.hpp"
#include "picture_io.hpp"
#include "safetensors_io.hpp"

namespace sjd::train {
namespace {

/// Longer names do not fit the prompt of the model next to other words.
constexpr std::size_t longest_name = 10;

struct Dataset {
  std::vector<Caption> captions;
  std::vector<std::uint8_t> pixels;  // [captions, 128, 128, 4] RGBA, straight alpha
};

bool wanted(const Caption& caption) {
  const bool keyboard_symbol =
      static_cast<unsigned char>(caption.emoji[0]) < 0x80 && caption.emoji.size() == 1;
  return !keyboard_symbol && !caption.name.starts_with("flag: ") && skin_tones(caption.name) <= 1 &&
         words_of(caption.name).size() <= longest_name;
}

/// Two sequences can share a glyph; equal pictures must not stand on both sides of a split.
void merge_families(std::vector<Caption>& inout_captions,
                    const std::vector<std::uint32_t>& glyphs) {
  std::map<std::uint32_t, std::size_t> first;
  for (std::size_t index = 0; index < glyphs.size(); ++index) {
    const auto [entry, is_new] = first.emplace(glyphs[index], index);
    const std::string from = inout_captions[index].family;
    const std::string to = inout_captions[entry->second].family;
    if (is_new || from == to) continue;
    for (Caption& caption : inout_captions) {
      if (caption.family == from) caption.family = to;
    }
  }
}

Dataset render_all(const EmojiFont& font, const std::filesystem::path& cldr) {
  Dataset data;
  std::vector<std::uint32_t> glyphs;
  std::int64_t unwanted = 0;
  std::int64_t cut = 0;
  for (Caption& caption : read_cldr(cldr)) {
    const auto drawing = font.draw(caption.emoji);
    if (!drawing) continue;
    if (!wanted(caption)) {
      ++unwanted;
      continue;
    }
    cut += drawing->cut_pixels > 0 ? 1 : 0;
    glyphs.push_back(drawing->glyph);
    data.captions.push_back(std::move(caption));
    data.pixels.insert(data.pixels.end(), drawing->pixels.begin(), drawing->pixels.end());
  }
  merge_families(data.captions, glyphs);
  std::fprintf(stderr, "data: %zu emoji with one glyph, %lld more left out, %lld pictures cut\n",
               data.captions.size(), static_cast<long long>(unwanted), static_cast<long long>(cut));
  return data;
}

void save_pixels(const std::filesystem::path& path, Dataset& data) {
  const auto count = static_cast<std::int64_t>(data.captions.size());
  const torch::Tensor pixels =
      torch::from_blob(data.pixels.data(), {count, drawn_size, drawn_size, 4}, torch::kUInt8);
  save_safetensors(path, {{"pixels", pixels}});
}

void print_splits(const std::vector<Caption>& captions) {
  std::map<std::string, std::pair<std::size_t, std::set<std::string>>> splits;
  for (const Caption& caption : captions) {
    ++splits[caption.split].first;
    splits[caption.split].second.insert(caption.family);
  }
  for (const auto& [split, counted] : splits) {
    std::printf("%-17s %5zu pictures %5zu families\n", split.c_str(), counted.first,
                counted.second.size());
  }
}

}  // namespace

int run_data(std::span<char* const> args) {
  const StageOptions options(args, {{"output", ""},
                                    {"font", "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"},
                                    {"cldr", "/usr/share/unicode/cldr/common"},
                                    {"seed", "1"}});
  const std::filesystem::path output = options.text("output");
  std::filesystem::create_directories(output);
  Dataset data = render_all(EmojiFont(options.text("font")), options.text("cldr"));
  assign_splits(data.captions, static_cast<std::uint64_t>(options.count("seed")));
  save_pixels(output / "pictures.safetensors", data);
  save_captions(output / "captions.json", data.captions);
  save_prompts(output / "prompts.json", data.captions);
  const std::int64_t words = save_word_list(output / "tokenizer.json", data.captions);
  print_splits(data.captions);
  std::printf("words             %5lld\n", static_cast<long long>(words));
  return 0;
}

}  // namespace sjd::train
