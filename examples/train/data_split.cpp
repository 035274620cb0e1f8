// SPDX-License-Identifier: Apache-2.0
#include "data_split.hpp"

#include <algorithm>
#include <functional>
#include <set>

#include "data_random.hpp"

namespace sjd::train {
namespace {

/// A family counts as large when its pictures are mostly skin tones of one drawing.
constexpr std::size_t large_family = 6;

struct Quota {
  const char* split;
  std::size_t pictures;        // wanted in all
  std::size_t large_pictures;  // at most this many from large families
};

class Splitter {
 public:
  Splitter(std::vector<Caption>& captions, std::uint64_t seed) : captions_(captions) {
    for (std::size_t index = 0; index < captions.size(); ++index) {
      captions[index].split = split_train;
      families_[captions[index].family].push_back(index);
      counts_.add(captions[index]);
    }
    for (const auto& [family, members] : families_) order_.push_back(family);
    SplitMix{seed}.shuffle(order_);
  }

  /// Moves families out of training, in random order, while `allowed` holds afterwards.
  void hold_out(const Quota& quota,
                const std::function<bool(const std::vector<std::size_t>&)>& allowed) {
    std::size_t taken = 0;
    std::size_t large_taken = 0;
    for (const std::string& family : order_) {
      const std::vector<std::size_t>& members = families_[family];
      const std::size_t large = members.size() >= large_family ? members.size() : 0;
      if (taken >= quota.pictures) break;
      if (captions_[members[0]].split != split_train) continue;
      if (large != 0 && large_taken + large > quota.large_pictures) continue;
      move(members, quota.split, -1);
      if (allowed(members)) {
        taken += members.size();
        large_taken += large;
      } else {
        move(members, split_train, 1);
      }
    }
  }

  [[nodiscard]] bool all_new(const std::vector<std::size_t>& members) const {
    return std::all_of(members.begin(), members.end(), [&](std::size_t member) {
      const auto words = words_of(captions_[member].name);
      return std::any_of(words.begin(), words.end(),
                         [&](const std::string& word) { return counts_.of(word).pictures == 0; });
    });
  }

  /// Taking a family away may leave an earlier choice without its words: all are checked.
  bool all_familiar(const std::vector<std::size_t>& members) {
    std::set<std::string> words = needed_;
    for (const std::size_t member : members) {
      for (std::string& word : words_of(captions_[member].name)) words.insert(word);
    }
    const bool familiar = std::all_of(words.begin(), words.end(), [&](const std::string& word) {
      return counts_.of(word).pictures >= 3;
    });
    if (familiar) needed_ = words;
    return familiar;
  }

 private:
  void move(const std::vector<std::size_t>& members, const char* split, std::int64_t sign) {
    for (const std::size_t member : members) {
      captions_[member].split = split;
      counts_.add(captions_[member], sign);
    }
  }

  std::vector<Caption>& captions_;
  std::map<std::string, std::vector<std::size_t>> families_;
  std::vector<std::string> order_;
  WordCounts counts_;
  std::set<std::string> needed_;
};

}  // namespace

void WordCounts::add(const Caption& caption, std::int64_t sign) {
  const std::vector<std::string> name = words_of(caption.name);
  const std::set<std::string> in_name(name.begin(), name.end());
  std::set<std::string> anywhere = in_name;
  for (const std::string& keyword : caption.keywords) {
    for (const std::string& word : words_of(keyword)) anywhere.insert(word);
  }
  for (const std::string& word : in_name) counts_[word].names += sign;
  for (const std::string& word : anywhere) counts_[word].pictures += sign;
}

WordCounts::Count WordCounts::of(const std::string& word) const {
  const auto found = counts_.find(word);
  return found == counts_.end() ? Count{} : found->second;
}

bool WordCounts::in_word_list(const std::string& word) const {
  const Count count = of(word);
  return count.names > 0 || count.pictures > 1;
}

void assign_splits(std::vector<Caption>& inout_captions, std::uint64_t seed) {
  using Members = std::vector<std::size_t>;
  Splitter splitter(inout_captions, seed);
  splitter.hold_out({split_validation, 90, 45}, [](const Members&) { return true; });
  splitter.hold_out({split_new_concepts, 60, 18},
                    [&](const Members& members) { return splitter.all_new(members); });
  splitter.hold_out({split_new_combinations, 128, 36},
                    [&](const Members& members) { return splitter.all_familiar(members); });
}

}  // namespace sjd::train
