// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data_captions.hpp"

namespace sjd::train {

/// In how many pictures each word stands, as pictures come and go.
class WordCounts {
 public:
  struct Count {
    std::int64_t pictures = 0;  // with the word in the name or in a keyword
    std::int64_t names = 0;     // with the word in the name
  };

  void add(const Caption& caption, std::int64_t sign = 1);

  [[nodiscard]] const std::map<std::string, Count>& by_word() const { return counts_; }

  [[nodiscard]] Count of(const std::string& word) const;

  /// Whether the word gets an id: in a name, or in the keywords of two pictures.
  [[nodiscard]] bool in_word_list(const std::string& word) const;

 private:
  std::map<std::string, Count> counts_;
};

/// Sets `split` of every caption; whole families move together.
///
/// new_concepts      every name has a word that no training name and no training keyword has
/// new_combinations  every word of every name stands in at least three training pictures
/// validation        drawn at random from all families
void assign_splits(std::vector<Caption>& inout_captions, std::uint64_t seed);

}  // namespace sjd::train
