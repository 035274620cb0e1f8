// SPDX-License-Identifier: Apache-2.0
#include "words.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace sjd::paint {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + change});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::exchange(last, row);
  }
  return last[b.size()];
}

std::vector<std::string> singular_forms(std::string_view word) {
  struct Ending {
    std::string_view plural, singular;
  };
  static constexpr std::array<Ending, 5> endings{
      {{"ies", "y"}, {"ves", "f"}, {"ves", "fe"}, {"es", ""}, {"s", ""}}};
  std::vector<std::string> forms;
  for (const Ending& ending : endings) {
    if (word.size() > ending.plural.size() + 1 && word.ends_with(ending.plural)) {
      forms.push_back(std::string{word.substr(0, word.size() - ending.plural.size())} +
                      std::string{ending.singular});
    }
  }
  std::reverse(forms.begin(), forms.end());
  return forms;
}

std::vector<std::string> nearby_words(std::string_view word, std::span<const std::string> known,
                                      std::size_t most) {
  std::vector<std::string> forms = singular_forms(word);
  forms.emplace_back(word);
  const std::size_t reach = std::max<std::size_t>(1, word.size() / 3);
  std::vector<std::pair<std::size_t, std::string>> found;
  for (const std::string& candidate : known) {
    std::size_t distance = reach + 1;
    for (const std::string& form : forms) {
      distance = std::min(distance, edit_distance(form, candidate));
    }
    const bool is_longer_form = word.size() >= 4 && candidate.starts_with(word);
    if (distance <= reach || is_longer_form) found.emplace_back(distance, candidate);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> result;
  for (std::size_t i = 0; i < std::min(most, found.size()); ++i) {
    result.push_back(std::move(found[i].second));
  }
  return result;
}

std::string file_stem(std::string_view prompt) {
  std::string stem;
  for (const char c : prompt) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80U;
    if (upper || plain) {
      stem += upper ? static_cast<char>(c - 'A' + 'a') : c;
    } else if (!stem.empty() && stem.back() != '-') {
      stem += '-';
    }
  }
  std::size_t longest = 80;
  if (stem.size() > longest) {
    while (longest > 0 && (static_cast<unsigned char>(stem[longest]) & 0xC0U) == 0x80U) --longest;
    stem.resize(longest);
  }
  while (!stem.empty() && stem.back() == '-') stem.pop_back();
  return stem.empty() ? "picture" : stem;
}

std::string listed(std::span<const std::string> words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " and " : ", ";
    text += words[i];
  }
  return text;
}

}  // namespace sjd::paint
