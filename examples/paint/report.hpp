// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sjd/types.hpp>
#include <span>
#include <string>
#include <vector>

#include "options.hpp"

namespace sjd::paint {

/// All pictures of one composition.
struct Painting {
  const Composition* composition = nullptr;
  std::vector<GenerationResult> results{};  // [count]
  double seconds = 0.0;                     // wall clock of all of them
};

/// 16 hex digits of FNV-1a over the tokens, each as four little-endian bytes.
[[nodiscard]] std::string token_digest(std::span<const TokenId> tokens);

/// "sjd2 + maximal"
[[nodiscard]] std::string title(const Composition& composition);

/// One JSON object, one line: picture `index` of a painting.
///
/// units  seconds are wall clock while the picture was in the batch, shared by its batch-mates
[[nodiscard]] std::string json_line(const Painting& painting, std::size_t index,
                                    const Options& options);

/// A few lines for people about one painting.
[[nodiscard]] std::string summary(const Painting& painting, const Options& options);

/// Acceptance by slot, for --verbose.
[[nodiscard]] std::string acceptance_by_slot(const Painting& painting);

}  // namespace sjd::paint
