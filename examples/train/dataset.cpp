// SPDX-License-Identifier: Apache-2.0
#include "dataset.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "safetensors_io.hpp"

namespace sjd::train {
namespace {

using Json = nlohmann::json;

Json read_json(const std::filesystem::path& path) {
  std::ifstream file{path};
  if (!file) throw std::runtime_error(path.string() + ": cannot be opened");
  return Json::parse(file);
}

bool is_word_byte(unsigned char c) {
  return c >= 0x80 || (std::isalnum(c) != 0);
}

double uniform(std::mt19937_64& engine) {
  return std::uniform_real_distribution<double>{0.0, 1.0}(engine);
}

}  // namespace

WordList::WordList(const std::filesystem::path& path) {
  const Json json = read_json(path);
  for (const auto& word : json.at("words")) {
    ids_.emplace(word.get<std::string>(), static_cast<std::int32_t>(ids_.size()));
  }
}

std::vector<std::int32_t> WordList::encode(std::string_view text, std::size_t limit) const {
  std::vector<std::int32_t> ids;
  std::string word;
  const auto finish = [&] {
    const auto found = ids_.find(word);
    if (!word.empty() && found != ids_.end() && ids.size() < limit) ids.push_back(found->second);
    word.clear();
  };
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_word_byte(byte)) {
      word.push_back(byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + 32) : c);
    } else {
      finish();
    }
  }
  finish();
  return ids;
}

Dataset::Dataset(const std::filesystem::path& folder, std::size_t max_prompt)
    : max_prompt_{max_prompt},
      words_{folder / "tokenizer.json"},
      codes_{load_safetensor(folder / "codes.safetensors", "codes").contiguous()} {
  read_captions(folder / "captions.json");
  if (codes_.dim() != 3 || codes_.size(0) != static_cast<std::int64_t>(pictures_.size())) {
    throw std::runtime_error("codes.safetensors and captions.json differ in their pictures");
  }
  std::unordered_map<std::string, int> members;
  for (const CaptionedPicture& p : pictures_) members[p.family] += p.split == "train" ? 1 : 0;
  double total = 0.0;
  for (const std::int64_t i : split("train")) {
    training_.push_back(i);
    total += 1.0 / std::sqrt(members[pictures_[static_cast<std::size_t>(i)].family]);
    cumulative_.push_back(total);
  }
  if (training_.empty()) throw std::runtime_error("captions.json has no training pictures");
}

void Dataset::read_captions(const std::filesystem::path& path) {
  for (const Json& entry : read_json(path)) {
    CaptionedPicture picture;
    picture.name = entry.at("name").get<std::string>();
    picture.family = entry.at("family").get<std::string>();
    picture.split = entry.at("split").get<std::string>();
    picture.codepoints = entry.at("codepoints").get<std::string>();
    picture.name_words = words_.encode(picture.name, max_prompt_);
    for (const Json& keyword : entry.at("keywords")) {
      auto ids = words_.encode(keyword.get<std::string>(), max_prompt_);
      if (!ids.empty()) picture.keyword_words.push_back(std::move(ids));
    }
    picture.index = static_cast<std::int64_t>(pictures_.size());
    pictures_.push_back(std::move(picture));
  }
}

std::vector<std::int64_t> Dataset::split(const std::string& name) const {
  std::vector<std::int64_t> found;
  for (const CaptionedPicture& p : pictures_) {
    if (p.split == name) found.push_back(p.index);
  }
  return found;
}

std::vector<std::int32_t> Dataset::caption(const CaptionedPicture& picture,
                                           const DrawOptions& options,
                                           std::mt19937_64& engine) const {
  if (uniform(engine) < options.empty) return {};
  const bool name_only = uniform(engine) < options.name_only || picture.keyword_words.empty();
  if (name_only) return picture.name_words;
  std::vector<std::int32_t> words;
  if (uniform(engine) < 0.5) words = picture.name_words;
  auto keywords = picture.keyword_words;
  std::shuffle(keywords.begin(), keywords.end(), engine);
  const std::size_t wanted = 1 + engine() % std::min<std::size_t>(keywords.size(), 4);
  for (std::size_t k = 0; k < wanted; ++k) {
    if (words.size() + keywords[k].size() > max_prompt_) break;
    words.insert(words.end(), keywords[k].begin(), keywords[k].end());
  }
  return words;
}

void Dataset::add(const CaptionedPicture& picture, std::int64_t augmentation,
                  const std::vector<std::int32_t>& caption, Batch& batch) const {
  const std::size_t padding = max_prompt_ - caption.size();
  batch.first.push_back(static_cast<std::int32_t>(padding));
  batch.words.insert(batch.words.end(), padding, -1);
  batch.words.insert(batch.words.end(), caption.begin(), caption.end());
  const std::int64_t count = tokens_per_picture();
  const auto* codes =
      codes_.data_ptr<std::int32_t>() + (picture.index * codes_.size(1) + augmentation) * count;
  batch.tokens.insert(batch.tokens.end(), codes, codes + count);
  batch.levels.insert(batch.levels.end(), static_cast<std::size_t>(count), 0);
  batch.weights.insert(batch.weights.end(), static_cast<std::size_t>(count), 1.0F);
  ++batch.sequences;
}

Batch Dataset::draw(std::int64_t sequences, const DrawOptions& options,
                    std::mt19937_64& engine) const {
  Batch batch;
  for (std::int64_t s = 0; s < sequences; ++s) {
    const double mark = uniform(engine) * cumulative_.back();
    const auto at = std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, mark);
    const std::int64_t index = training_[static_cast<std::size_t>(at - cumulative_.begin())];
    const CaptionedPicture& picture = pictures_[static_cast<std::size_t>(index)];
    // Coding 0 is the picture as it is.
    const bool as_it_is = options.plain > 0.0 && uniform(engine) < options.plain;
    const std::uint64_t any = engine() % static_cast<std::uint64_t>(codes_.size(1));
    const std::int64_t augmentation = as_it_is ? 0 : static_cast<std::int64_t>(any);
    add(picture, augmentation, caption(picture, options, engine), batch);
  }
  return batch;
}

Batch Dataset::plain(std::span<const std::int64_t> chosen, std::int64_t sequences) const {
  Batch batch;
  for (std::int64_t s = 0; s < sequences; ++s) {
    const bool exists = s < static_cast<std::int64_t>(chosen.size());
    const std::int64_t index = chosen[static_cast<std::size_t>(exists ? s : 0)];
    const CaptionedPicture& picture = pictures_[static_cast<std::size_t>(index)];
    add(picture, 0, picture.name_words, batch);
    if (!exists) {
      std::fill(batch.weights.end() - tokens_per_picture(), batch.weights.end(), 0.0F);
    }
  }
  return batch;
}

std::vector<float> Dataset::log_unigram(std::int64_t vocabulary) const {
  std::vector<double> counts(static_cast<std::size_t>(vocabulary), 1.0);
  const std::int64_t count = codes_.size(1) * codes_.size(2);
  for (const std::int64_t index : training_) {
    const auto* codes = codes_.data_ptr<std::int32_t>() + index * count;
    for (std::int64_t i = 0; i < count; ++i) counts[static_cast<std::size_t>(codes[i])] += 1.0;
  }
  double total = 0.0;
  for (const double c : counts) total += c;
  std::vector<float> logs;
  for (const double c : counts) logs.push_back(static_cast<float>(std::log(c / total)));
  return logs;
}

}  // namespace sjd::train
