// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sjd/core/mass.hpp"

namespace sjd {

/// One position of the window behind the tip.
struct Slot {
  std::int32_t level = 0;      ///< decoding level; 0 = clean, fed as `token`
  std::int32_t age = 0;        ///< passes since it entered
  TokenId token = -1;          ///< draft; -1 while the slot is pure noise
  TokenLaw law{};              ///< q: the marginal law of `token` given everything to its left
  std::vector<float> noisy{};  ///< [dim] normalised noisy embedding z, empty at level 0

  [[nodiscard]] bool has_token() const noexcept { return token >= 0; }

  friend bool operator==(const Slot&, const Slot&) = default;
};

}  // namespace sjd
