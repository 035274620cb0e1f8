// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

#include "sjd/core/random.hpp"

namespace sjd::test {

inline constexpr uint128 largest_bits = ~uint128{0};

/// A gate that reads its 128-bit uniforms from a script and remembers what it was asked.
class ScriptedGate {
 public:
  explicit ScriptedGate(std::vector<uint128> script = {}) : script_{std::move(script)} {}

  bool bernoulli(DrawKey key, uint128 part, uint128 whole) {
    keys.push_back(key);
    parts.push_back(part);
    wholes.push_back(whole);
    return scale_to(next(), whole) < part;
  }
  TokenId categorical(DrawKey key, const TokenLaw& law) {
    keys.push_back(key);
    uint128 rank = scale_to(next(), law.sum());
    std::int64_t i = 0;
    for (; rank >= law.mass_at(i); ++i) rank -= law.mass_at(i);
    return law.token(i);
  }
  std::int64_t weighted(DrawKey key, std::span<const uint128> asked) {
    keys.push_back(key);
    weights.assign(asked.begin(), asked.end());
    uint128 total = 0;
    for (const uint128 w : asked) total += w;
    uint128 rank = scale_to(next(), total);
    std::size_t i = 0;
    for (; rank >= asked[i]; ++i) rank -= asked[i];
    return static_cast<std::int64_t>(i);
  }
  void gaussian(DrawKey key, std::span<float> values) {
    keys.push_back(key);
    for (float& value : values) value = 1.0F;
  }
  TokenId quantile(Position position, const TokenLaw& law) {
    return categorical({position, 0, Purpose::shared}, law);
  }

  std::vector<DrawKey> keys;
  std::vector<uint128> parts;
  std::vector<uint128> wholes;
  std::vector<uint128> weights;  ///< of the last weighted draw

 private:
  uint128 next() {
    if (at_ == script_.size()) throw std::logic_error{"the script has no more uniforms"};
    return script_[at_++];
  }

  std::vector<uint128> script_;
  std::size_t at_ = 0;
};

/// A list law with the given masses for tokens 0, 1, ...; those of mass 0 are left out.
inline TokenLaw law_of(const std::vector<std::uint32_t>& masses) {
  std::vector<TokenId> tokens;
  std::vector<std::uint32_t> kept;
  for (std::size_t v = 0; v < masses.size(); ++v) {
    if (masses[v] == 0) continue;
    tokens.push_back(static_cast<TokenId>(v));
    kept.push_back(masses[v]);
  }
  TokenLaw law;
  law.set_list(tokens, kept);
  return law;
}

}  // namespace sjd::test
