// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "parameters.hpp"
#include "transformer.hpp"

namespace sjd::train {

/// Words of tokenizer.json and the rule that splits a prompt into them (docs/checkpoint.md).
class WordList {
 public:
  explicit WordList(const std::filesystem::path& path);

  /// Ids of the known words, at most `limit`.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text, std::size_t limit) const;
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(ids_.size()); }

 private:
  std::unordered_map<std::string, std::int32_t> ids_;
};

/// One picture: its words and where it belongs.
struct CaptionedPicture {
  std::string name;
  std::string family;
  std::string split;
  std::string codepoints;
  std::vector<std::int32_t> name_words;
  std::vector<std::vector<std::int32_t>> keyword_words;
  std::int64_t index = 0;  ///< row of codes.safetensors
};

/// How training sequences are drawn.
struct DrawOptions {
  double empty = 0.1;  ///< only <image>: what guidance subtracts
  /// Of the rest; otherwise shuffled keywords, or the name and some of them.
  double name_only = 0.6;
  double plain = 0.0;  ///< share of pictures taken as they are; the others are augmented evenly
};

/// Pictures as codes, with captions; everything the transformer is trained and judged on.
class Dataset {
 public:
  Dataset(const std::filesystem::path& folder, std::size_t max_prompt);

  [[nodiscard]] const WordList& words() const { return words_; }
  /// Indices into pictures() of one split.
  [[nodiscard]] std::vector<std::int64_t> split(const std::string& name) const;
  [[nodiscard]] const std::vector<CaptionedPicture>& pictures() const { return pictures_; }
  [[nodiscard]] std::int64_t tokens_per_picture() const { return codes_.size(2); }

  /// Random training sequences; rarer families are drawn relatively more often (1/sqrt of their
  /// size).
  [[nodiscard]] Batch draw(std::int64_t sequences, const DrawOptions& options,
                           std::mt19937_64& engine) const;
  /// The plain pictures with their names, in order; missing ones (index -1) repeat the first with
  /// weight 0.
  [[nodiscard]] Batch plain(std::span<const std::int64_t> chosen, std::int64_t sequences) const;
  /// log of each code's share among the training pictures, one added to every count. [vocabulary]
  [[nodiscard]] std::vector<float> log_unigram(std::int64_t vocabulary) const;

 private:
  void read_captions(const std::filesystem::path& path);
  void add(const CaptionedPicture& picture, std::int64_t augmentation,
           const std::vector<std::int32_t>& caption, Batch& batch) const;
  [[nodiscard]] std::vector<std::int32_t> caption(const CaptionedPicture& picture,
                                                  const DrawOptions& options,
                                                  std::mt19937_64& engine) const;

  std::size_t max_prompt_;
  WordList words_;
  std::vector<CaptionedPicture> pictures_;
  std::vector<std::int64_t> training_;
  std::vector<double> cumulative_;  ///< over training_
  torch::Tensor codes_;             ///< [pictures, augmentations, tokens] int32
};

}  // namespace sjd::train
