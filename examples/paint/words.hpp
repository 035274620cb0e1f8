// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sjd::paint {

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
///
/// source  optimal string alignment distance
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The singular forms that an English word may have, the likeliest first; the word itself is not
/// among them.
[[nodiscard]] std::vector<std::string> singular_forms(std::string_view word);

/// Known words that somebody who wrote `word` may have meant, the nearest first, at most `most`.
[[nodiscard]] std::vector<std::string> nearby_words(std::string_view word,
                                                    std::span<const std::string> known,
                                                    std::size_t most = 3);

/// "red-apple" out of "Red apple!": what a picture of this prompt is called without its extension.
[[nodiscard]] std::string file_stem(std::string_view prompt);

/// "a, b and c"
[[nodiscard]] std::string listed(std::span<const std::string> words);

}  // namespace sjd::paint
