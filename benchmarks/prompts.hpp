// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "studio.hpp"

namespace sjd::bench {

/// One picture of the data, seen in training or held out.
struct PromptEntry {
  std::string prompt;
  paint::WordIds words;
  std::vector<TokenId> codes;  ///< its true tokens; empty if the model directory has none
};

/// `count` entries of one split of prompts.json, drawn by `seed` without repeats; all of them if
/// there are fewer. No concept family comes twice while another has not come once: skin tones and
/// the like would fill the list otherwise.
///
/// The true tokens come from codes.safetensors, where the model directory has that file: one I32
/// tensor [entries, tokens] a split, in the order of prompts.json.
/// errors  bad_file naming the file and the field
[[nodiscard]] std::vector<PromptEntry> draw_prompts(const paint::Studio& studio,
                                                    const std::string& split, std::int64_t count,
                                                    std::uint64_t seed);

}  // namespace sjd::bench
