// SPDX-License-Identifier: Apache-2.0
// The residual drawn by blocks is the one drawn weight by weight, in every instruction set.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "sjd/core/random.hpp"
#include "sjd/cpu/residual.hpp"
#include "sjd/cpu/window_update.hpp"
#include "support/catch.hpp"
#include "support/table_law.hpp"

namespace sjd::test {
namespace {

using cpu::KernelTable;
using lanes::InstructionSet;

std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> all;
  for (const auto set : {InstructionSet::scalar, InstructionSet::avx2, InstructionSet::avx512}) {
    if (cpu::supported(set)) all.push_back(&cpu::kernels(set));
  }
  return all;
}

/// `size` tokens that lie `gap` apart on average, masses up to `largest`.
TokenLaw law_of(std::uint64_t seed, std::size_t size, std::uint64_t gap, std::uint32_t largest) {
  std::vector<TokenId> tokens;
  std::vector<std::uint32_t> masses;
  TokenId token = static_cast<TokenId>(mix(seed) % gap);
  for (std::size_t i = 0; i < size; ++i) {
    tokens.push_back(token);
    masses.push_back(1 + static_cast<std::uint32_t>(mix(seed ^ mix(i)) % largest));
    token += 1 + static_cast<TokenId>(mix(seed + i) % (2 * gap - 1));
  }
  TokenLaw law;
  law.set_list(tokens, masses);
  return law;
}

/// The place of `rank` in the cumulative weights.
std::int64_t place_of(const std::vector<uint128>& weights, uint128 rank) {
  std::int64_t i = 0;
  for (; rank >= weights[static_cast<std::size_t>(i)]; ++i)
    rank -= weights[static_cast<std::size_t>(i)];
  return i;
}

void check_places(const TokenLaw& target, const TokenLaw& draft) {
  std::vector<uint128> weights;
  residual_weights(target, draft, weights);
  uint128 total = 0;
  for (const uint128 w : weights) total += w;
  for (const KernelTable* table : tables()) {
    for (std::uint64_t step = 0; step < 40; ++step) {
      uint128 asked = 0, rank = 0;
      const auto uniform = [&](uint128 bound) {
        asked = bound;
        // Both ends and places all over, some at the very edge of a weight.
        rank = step == 0 ? 0 : step == 1 ? bound - 1 : bound / 40 * step;
        return rank;
      };
      const std::int64_t place = cpu::draw_surplus(target, draft, uniform, *table);
      CHECK(bool{asked == total});
      CHECK(place == (total == 0 ? -1 : place_of(weights, rank)));
      if (total == 0) break;
    }
  }
}

}  // namespace

TEST_CASE("a residual drawn by blocks is the one of residual_weights") {
  for (const std::size_t size : {1U, 2U, 15U, 16U, 17U, 63U, 64U, 65U, 500U, 1024U, 1025U, 3000U}) {
    for (const std::uint64_t gap : {1U, 3U, 40U}) {
      for (const std::uint32_t largest : {2U, 1000U, 1U << 31U}) {
        const TokenLaw target = law_of(size, size, gap, largest);
        CAPTURE(size, gap, largest);
        check_places(target, law_of(size, size, gap, largest));  // p == q
        check_places(target, law_of(size + 7, size, gap, largest));
        check_places(target, law_of(size + 9, 1 + size / 3, 2 * gap, 1U << 31U));
        check_places(target, law_of(size + 11, 2 * size, gap, 3));
      }
    }
  }
}

TEST_CASE("a residual of two laws that share no token is the target law") {
  TokenLaw odd, even;
  std::vector<TokenId> tokens(300);
  const std::vector<std::uint32_t> masses(300, 7);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(2 * i);
  even.set_list(tokens, masses);
  for (TokenId& token : tokens) token += 1;
  odd.set_list(tokens, masses);
  check_places(odd, even);
  check_places(even, odd);
}

TEST_CASE("a residual over the uniform law is the one of residual_weights") {
  for (const std::size_t size : {1U, 16U, 65U, 1025U, 3000U}) {
    for (const std::uint32_t largest : {1U, 2U, 1000U, 1U << 31U}) {
      const TokenLaw target = law_of(size, size, 3, largest);
      const std::int64_t reach = target.token(target.size() - 1) + 1;
      CAPTURE(size, largest);
      for (const std::int64_t vocab : {reach, 2 * reach, (reach + 1) / 2}) {
        check_places(target, TokenLaw::uniform(vocab));
      }
    }
  }
  const TokenLaw all = law_of(0, 300, 1, 1);  // every token, each with mass 1
  check_places(all, TokenLaw::uniform(300));
}

TEST_CASE("products that differ in the last of 96 bits are told apart") {
  // A few parts in 2^24 apart or less, some equal: no float is sure which is larger.
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    TokenLaw target, draft;
    std::vector<TokenId> tokens;
    std::vector<std::uint32_t> p, q;
    for (std::uint32_t i = 0; i < 80; ++i) {
      tokens.push_back(static_cast<TokenId>(2 * i));
      p.push_back((1U << 30U) + static_cast<std::uint32_t>(mix(seed ^ mix(i)) % 1000));
      const std::uint64_t share = seed % 2 == 0 ? p.back() : std::uint64_t{p.back()} * 3 / 7;
      const std::uint64_t near = mix(seed + i) % 7 * (seed % 3 == 0 ? 1 : 40);
      q.push_back(static_cast<std::uint32_t>(share + near - 3));
    }
    target.set_list(tokens, p);
    draft.set_list(tokens, q);
    check_places(target, draft);
    check_places(draft, target);
  }
}

TEST_CASE("the production gate draws the residual that weighted would draw") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const TokenLaw target = law_of(seed, 400, 3, 1U << 20U), draft = law_of(seed + 1, 400, 3, 9);
    std::vector<uint128> weights;
    residual_weights(target, draft, weights);
    const PhiloxGate gate{seed, 3};
    const DrawKey key{static_cast<Position>(seed), 2, Purpose::residual};
    REQUIRE(gate.residual(key, target, draft) == gate.weighted(key, weights));
    residual_weights(target, TokenLaw::uniform(2000), weights);
    REQUIRE(gate.residual(key, target, TokenLaw::uniform(2000)) == gate.weighted(key, weights));
  }
}

TEST_CASE("a denoising step is one fma behind one product, in every instruction set") {
  for (const KernelTable* table : tables()) {
    for (const std::int64_t size : {1, 15, 16, 33, 512}) {
      std::vector<float> z, clean;
      for (std::int64_t d = 0; d < size; ++d) {
        z.push_back(static_cast<float>(mix(static_cast<std::uint64_t>(d)) % 1000) / 333.0F);
        clean.push_back(static_cast<float>(mix(static_cast<std::uint64_t>(d + size)) % 77) / 9.0F);
      }
      const std::vector<float> before = z;
      table->denoise(0.37F, -1.21F, clean.data(), z.data(), size);
      for (std::size_t d = 0; d < z.size(); ++d) {
        const float pulled = -1.21F * clean[d];
        REQUIRE(z[d] == std::fma(0.37F, before[d], pulled));
      }
    }
  }
}

}  // namespace sjd::test
