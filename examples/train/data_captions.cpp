// SPDX-License-Identifier: Apache-2.0
#include "data_captions.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "data_split.hpp"

namespace sjd::train {
namespace {

using Json = nlohmann::ordered_json;

bool one_of(std::string_view word, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool tells_gender_or_age(std::string_view word) {
  return one_of(word, {"man",   "woman",  "men",      "women", "boy",    "girl",  "boys",
                       "girls", "person", "people",   "male",  "female", "adult", "old",
                       "older", "child",  "children", "baby",  "mr",     "mrs",   "mx"});
}

/// Words that differ by gender only.
std::string neutral(const std::string& word) {
  static const std::map<std::string, std::string> forms{
      {"princess", "prince"},    {"mermaid", "merperson"}, {"merman", "merperson"},
      {"santa", "claus"},        {"mother", "parent"},     {"father", "parent"},
      {"grandmother", "parent"}, {"grandfather", "parent"}};
  const auto found = forms.find(word);
  return found == forms.end() ? word : found->second;
}

void write_json(const std::filesystem::path& path, const Json& json, int indent) {
  const std::filesystem::path partial = path.string() + ".partial";
  std::ofstream file(partial, std::ios::trunc);
  file << json.dump(indent) << '\n';
  file.close();
  if (!file) throw std::runtime_error(partial.string() + ": cannot be written");
  std::filesystem::rename(partial, path);
}

Json to_json(const Caption& caption) {
  return {{"codepoints", caption.codepoints},
          {"name", caption.name},
          {"keywords", caption.keywords},
          {"family", caption.family},
          {"split", caption.split}};
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (const char symbol : text) {
    const auto byte = static_cast<unsigned char>(symbol);
    const bool upper = byte >= 'A' && byte <= 'Z';
    const bool part =
        upper || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte >= 0x80;
    if (part && !inside) words.emplace_back();
    if (part) words.back().push_back(upper ? static_cast<char>(byte - 'A' + 'a') : symbol);
    inside = part;
  }
  return words;
}

int skin_tones(std::string_view name) {
  int count = 0;
  for (auto at = name.find("skin tone"); at != std::string_view::npos;
       at = name.find("skin tone", at + 1)) {
    ++count;
  }
  return count;
}

std::string family_of(std::string_view name) {
  const std::vector<std::string> words = words_of(name);
  std::vector<std::string> kept;
  std::set<std::string> seen;
  for (std::size_t index = 0; index < words.size(); ++index) {
    if (words[index] == "skin" && index + 1 < words.size() && words[index + 1] == "tone") {
      while (!kept.empty() && one_of(kept.back(), {"light", "medium", "dark"})) {
        kept.pop_back();
      }
      ++index;
    } else if (!tells_gender_or_age(words[index]) && seen.insert(words[index]).second) {
      kept.push_back(neutral(words[index]));
    }
  }
  // "couple with heart: woman, man" and "woman and man holding hands" lose their "and" too.
  while (!kept.empty() && one_of(kept.front(), {"and", "in", "with", "s"})) {
    kept.erase(kept.begin());
  }
  if (kept.empty()) return "person";
  std::string family;
  for (const std::string& word : kept) family += (family.empty() ? "" : " ") + word;
  return family;
}

void save_captions(const std::filesystem::path& path, const std::vector<Caption>& captions) {
  Json list = Json::array();
  for (const Caption& caption : captions) list.push_back(to_json(caption));
  write_json(path, list, 1);
}

std::vector<Caption> load_captions(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path.string() + ": cannot be opened");
  std::vector<Caption> captions;
  try {
    for (const Json& entry : Json::parse(file)) {
      captions.push_back({"", entry.at("codepoints"), entry.at("name"), entry.at("keywords"),
                          entry.at("family"), entry.at("split")});
    }
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(path.string() + ": " + error.what());
  }
  return captions;
}

std::int64_t save_word_list(const std::filesystem::path& path,
                            const std::vector<Caption>& captions) {
  WordCounts counts;
  for (const Caption& caption : captions) {
    if (caption.split == split_train) counts.add(caption);
  }
  std::vector<std::pair<std::int64_t, std::string>> ranked;
  for (const auto& [word, count] : counts.by_word()) {
    if (counts.in_word_list(word)) ranked.emplace_back(-count.pictures, word);
  }
  std::sort(ranked.begin(), ranked.end());
  Json words{"<unused>", "<image>", "<unknown>"};
  for (const auto& [rank, word] : ranked) words.push_back(word);
  write_json(path, {{"format", "sjd-words"}, {"version", 1}, {"words", words}}, -1);
  return static_cast<std::int64_t>(words.size());
}

void save_prompts(const std::filesystem::path& path, const std::vector<Caption>& captions) {
  Json prompts{{"format", "sjd-prompts"}, {"version", 1}};
  for (const char* split : {split_train, split_new_combinations, split_new_concepts}) {
    prompts[split] = Json::array();
    for (const Caption& caption : captions) {
      if (caption.split != split) continue;
      prompts[split].push_back({{"prompt", caption.name},
                                {"name", caption.name},
                                {"family", caption.family},
                                {"codepoints", caption.codepoints}});
    }
  }
  write_json(path, prompts, 1);
}

}  // namespace sjd::train
