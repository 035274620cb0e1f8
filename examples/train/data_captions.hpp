// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace sjd::train {

inline constexpr const char* split_train = "train";
inline constexpr const char* split_validation = "validation";
inline constexpr const char* split_new_combinations = "new_combinations";
inline constexpr const char* split_new_concepts = "new_concepts";

/// What is known about one picture apart from its pixels.
struct Caption {
  std::string emoji;       // UTF-8; empty when loaded from captions.json
  std::string codepoints;  // "1f34e", several joined by "-"
  std::string name;        // the prompt
  std::vector<std::string> keywords;
  std::string family;  // the concept: the name without skin tone, gender and age words
  std::string split;
};

/// Lower-cases ASCII letters and splits into maximal runs of ASCII letters, digits and bytes
/// >= 0x80, as docs/checkpoint.md says.
[[nodiscard]] std::vector<std::string> words_of(std::string_view text);

/// The words of a name that tell the concept, joined by spaces; never empty.
[[nodiscard]] std::string family_of(std::string_view name);

/// Reads names and keywords of every emoji in `cldr`/annotations{,Derived}/en.xml and sets all
/// fields but `split`, in the order of the UTF-8 bytes of the emoji. Typographic quotes and
/// dashes become ASCII, so that what a user types matches.
///
/// throws  std::runtime_error naming the file
[[nodiscard]] std::vector<Caption> read_cldr(const std::filesystem::path& cldr);

/// How many skin tones a name mentions.
[[nodiscard]] int skin_tones(std::string_view name);

/// captions.json: written by `train data`, read by the later stages; the order is that of the
/// pictures. `emoji` is not stored.
void save_captions(const std::filesystem::path& path, const std::vector<Caption>& captions);
[[nodiscard]] std::vector<Caption> load_captions(const std::filesystem::path& path);

/// tokenizer.json: <unused>, <image>, <unknown>, then the words of the names and keywords of
/// training pictures, the most frequent first. Returns the number of words.
std::int64_t save_word_list(const std::filesystem::path& path,
                            const std::vector<Caption>& captions);

/// prompts.json: the names of all training and held-out pictures but those of `validation`.
void save_prompts(const std::filesystem::path& path, const std::vector<Caption>& captions);

}  // namespace sjd::train
