// SPDX-License-Identifier: Apache-2.0
#include "prompts.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <sjd/hosts/json.hpp>
#include <sjd/hosts/safetensors.hpp>
#include <utility>

namespace sjd::bench {
namespace {

struct Caption {
  std::string prompt;
  std::string family;
};

std::vector<Caption> read_split(const std::filesystem::path& path, const std::string& split) {
  constexpr hosts::JsonLimits limits{.bytes = std::int64_t{64} << 20};
  const auto json = hosts::JsonField::read(path, limits);
  if (json["format"].text() != "sjd-prompts") json["format"].refuse("is not \"sjd-prompts\"");
  std::vector<Caption> captions;
  for (const hosts::JsonField& item : json[split].items()) {
    captions.push_back({item["prompt"].text(), item["family"].text()});
  }
  if (captions.empty()) json[split].refuse("has no entries");
  return captions;
}

/// Rows of the split's tensor in codes.safetensors [entries, tokens]; empty without that file.
std::vector<std::int32_t> read_codes(const std::filesystem::path& path, const std::string& split,
                                     std::int64_t entries, std::int64_t tokens) {
  if (!std::filesystem::exists(path)) return {};
  const std::array<std::int64_t, 2> shape{entries, tokens};
  return hosts::SafetensorsFile{path}.read_integers(split, shape);
}

/// The first `count` places of a random order in which no family comes twice before all came once;
/// the same on every machine.
std::vector<std::size_t> random_places(const std::vector<Caption>& captions, std::size_t count,
                                       std::uint64_t seed) {
  std::vector<std::size_t> order(captions.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::mt19937_64 random{seed};
  for (std::size_t i = 0; i < order.size(); ++i) {
    std::swap(order[i], order[i + random() % (order.size() - i)]);
  }
  std::set<std::string> seen;
  std::vector<std::size_t> again;
  std::vector<std::size_t> chosen;
  for (const std::size_t place : order) {
    (seen.insert(captions[place].family).second ? chosen : again).push_back(place);
  }
  chosen.insert(chosen.end(), again.begin(), again.end());
  chosen.resize(std::min(count, chosen.size()));
  return chosen;
}

}  // namespace

std::vector<PromptEntry> draw_prompts(const paint::Studio& studio, const std::string& split,
                                      std::int64_t count, std::uint64_t seed) {
  const std::vector<Caption> all = read_split(studio.directory() / "prompts.json", split);
  const std::int64_t tokens = studio.tokens();
  const std::vector<std::int32_t> codes =
      read_codes(studio.directory() / "codes.safetensors", split,
                 static_cast<std::int64_t>(all.size()), tokens);
  std::vector<PromptEntry> chosen;
  for (const std::size_t place : random_places(all, static_cast<std::size_t>(count), seed)) {
    PromptEntry entry{all[place].prompt, studio.read(all[place].prompt).ids, {}};
    if (!codes.empty()) {
      const auto first = codes.begin() + static_cast<std::ptrdiff_t>(place) * tokens;
      entry.codes.assign(first, first + tokens);
    }
    chosen.push_back(std::move(entry));
  }
  return chosen;
}

}  // namespace sjd::bench
