// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sjd/cpu/law_builder.hpp"
#include "support/scripted_gate.hpp"
#include "support/table_law.hpp"

namespace sjd::test {

/// The two laws of one judgement.
struct LawPair {
  TokenLaw target;
  TokenLaw draft;
};

/// Pairs at which a rule is likely to break.
inline std::vector<LawPair> adversarial_pairs() {
  const TokenLaw a = law_of({5, 0, 7, 1U << 31});
  return {{law_of({1, 2, 0, 0}), law_of({0, 0, 3, 4})},    // disjoint
          {law_of({1, 2, 3, 4}), law_of({0, 9, 1, 0})},    // nested
          {law_of({0, 9, 1, 0}), law_of({1, 2, 3, 4})},    // nested the other way
          {a, a},                                          // equal
          {a, law_of({10, 0, 14, 0xFFFFFFFFU})},           // equal but for one unit
          {law_of({1U << 31, 1}), law_of({1U << 31, 2})},  // one unit apart
          {law_of({1, 1, 1, 1}), TokenLaw::uniform(4)},    // equal, one of them implicit
          {law_of({4, 0, 0, 9}), TokenLaw::uniform(4)},    // uniform draft
          {law_of({4, 0, 0, 9}), TokenLaw::point(3)},      // one-hot draft
          {law_of({4, 0, 0, 9}), TokenLaw::point(1)},      // one-hot draft without support
          {TokenLaw::point(2), law_of({3, 3, 3, 3})},      // one-hot target
          {TokenLaw::point(2), TokenLaw::point(2)},
          {TokenLaw::uniform(5), TokenLaw::uniform(5)}};
}

/// Pairs of arbitrary masses, a third of them 0.
inline std::vector<LawPair> random_pairs(std::uint64_t seed, std::size_t vocab, int count) {
  std::vector<LawPair> pairs;
  const auto masses = [&](std::uint64_t s) {
    std::vector<std::uint32_t> m(vocab);
    for (std::size_t v = 0; v < vocab; ++v) {
      const std::uint64_t h = mix(s ^ mix(v));
      m[v] = h % 3 == 0 ? 0 : static_cast<std::uint32_t>((h >> 8) >> (h % 31)) >> 1;
    }
    m[s % vocab] = 1U << 31;
    return law_of(m);
  };
  for (int i = 0; i < count; ++i) {
    const auto s = seed + 2 * static_cast<std::uint64_t>(i);
    pairs.push_back({masses(mix(s)), masses(mix(s + 1))});
  }
  return pairs;
}

/// Pairs as the engine makes them: logits through temperature and filters, the draft's a little off
/// the target's.
inline std::vector<LawPair> filtered_pairs(std::uint64_t seed, std::size_t vocab, int count) {
  std::vector<LawPair> pairs;
  cpu::LawBuilder builder;
  std::vector<float> logits(vocab);
  const auto build = [&](std::uint64_t base, std::uint64_t change, float amount,
                         const SamplingOptions& options) {
    for (std::size_t v = 0; v < vocab; ++v) {
      const auto unit = [&](std::uint64_t s) {
        return static_cast<float>(mix(s ^ mix(v)) % 8192) / 4096.0F - 1.0F;
      };
      logits[v] = 6.0F * unit(base) + amount * unit(change);
    }
    TokenLaw law;
    builder.build(logits, options, law);
    return law;
  };
  for (int i = 0; i < count; ++i) {
    const std::uint64_t s = mix(seed + static_cast<std::uint64_t>(i));
    const SamplingOptions options{.temperature = 0.5F + 0.25F * static_cast<float>(s % 4),
                                  .top_k = s % 3 == 0 ? static_cast<std::int64_t>(vocab / 2) : 0,
                                  .top_p = s % 5 == 0 ? 0.9F : 1.0F};
    const float amount = s % 2 == 0 ? 1.0F : 1.0e-5F;
    pairs.push_back({build(s, s + 1, amount, options), build(s, s + 2, amount, options)});
  }
  return pairs;
}

}  // namespace sjd::test
