// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/hosts/detail/utf8.hpp"
#include "sjd/hosts/json.hpp"

namespace sjd::hosts {

/// A prompt as the model reads it, and what had to be left out of it.
struct EncodedPrompt {
  std::vector<std::int32_t> ids;           ///< at most the limit given to encode()
  std::vector<std::string> unknown_words;  ///< not in the vocabulary, in order
  std::vector<std::string> surplus_words;  ///< known, but behind the limit
};

/// The word list of tokenizer.json. The first three entries are <unused>, <image> and <unknown>; no
/// prompt reaches them.
class WordTokenizer {
 public:
  /// Id of the begin-of-image token.
  static constexpr std::int32_t image_id = 1;

  /// errors  bad_file naming the entry: not a word, or there twice
  [[nodiscard]] static WordTokenizer read(const std::filesystem::path& path) {
    constexpr JsonLimits limits{.bytes = std::int64_t{64} << 20};
    const JsonField json = JsonField::read(path, limits);
    json.only({"format", "version", "words"});
    if (json["format"].text() != "sjd-words") json["format"].refuse("is not \"sjd-words\"");
    static_cast<void>(json["version"].integer(1, 1));
    WordTokenizer tokenizer;
    for (const JsonField& item : json["words"].items()) tokenizer.add(item);
    if (tokenizer.size_ < specials.size()) json["words"].refuse("lacks the special entries");
    return tokenizer;
  }

  /// Entries of the word list, special ones included; the model's text_vocab_size must not be
  /// smaller.
  [[nodiscard]] std::int64_t size() const noexcept { return static_cast<std::int64_t>(size_); }

  /// Lower-cases ASCII letters and looks up each maximal run of ASCII letters, digits and bytes >=
  /// 0x80.
  ///
  /// edge    a prompt without known words has no ids; the model then draws without a condition
  /// errors  invalid_argument for a prompt beyond 64 KiB, or naming the first byte that is no UTF-8
  [[nodiscard]] EncodedPrompt encode(std::string_view text, std::int64_t most_tokens) const {
    check_prompt(text);
    EncodedPrompt result;
    std::string word;
    const auto finish = [&] {
      if (word.empty()) return;
      const auto found = ids_.find(word);
      if (found == ids_.end()) {
        result.unknown_words.push_back(word);
      } else if (static_cast<std::int64_t>(result.ids.size()) < most_tokens) {
        result.ids.push_back(found->second);
      } else {
        result.surplus_words.push_back(word);
      }
      word.clear();
    };
    for (const char c : text) {
      const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      if (is_word_byte(lower)) {
        word += lower;
      } else {
        finish();
      }
    }
    finish();
    return result;
  }

 private:
  static constexpr std::array<std::string_view, 3> specials{"<unused>", "<image>", "<unknown>"};

  static void check_prompt(std::string_view text) {
    constexpr std::size_t longest = std::size_t{64} << 10U;
    expects(text.size() <= longest, ErrorCode::invalid_argument,
            "the prompt is longer than 65536 bytes");
    if (const std::size_t good = detail::valid_utf8_prefix(text); good != text.size()) {
      throw Error{ErrorCode::invalid_argument,
                  "the prompt is no UTF-8 at byte " + std::to_string(good)};
    }
  }

  [[nodiscard]] static bool is_word_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           static_cast<unsigned char>(c) >= 0x80U;
  }

  void add(const JsonField& item) {
    constexpr std::size_t longest = 1'024;
    const std::string& word = item.text();
    if (size_ < specials.size()) {
      if (word != specials[size_]) item.refuse("is not " + std::string{specials[size_]});
    } else {
      bool plain = !word.empty() && word.size() <= longest;
      for (const char c : word) plain = plain && is_word_byte(c);
      if (!plain) item.refuse("\"" + detail::printable(word) + "\" is not a word in lower case");
      if (!ids_.emplace(word, static_cast<std::int32_t>(size_)).second) {
        item.refuse("\"" + detail::printable(word) + "\" stands twice");
      }
    }
    ++size_;
  }

  std::unordered_map<std::string, std::int32_t> ids_;
  std::size_t size_ = 0;
};

}  // namespace sjd::hosts
