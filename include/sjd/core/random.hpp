// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>

#include "sjd/core/config.hpp"
#include "sjd/core/error.hpp"
#include "sjd/core/mass.hpp"
#include "sjd/core/numeric.hpp"
#include "sjd/core/philox.hpp"
#include "sjd/cpu/kernels.hpp"
#include "sjd/cpu/residual.hpp"
#include "sjd/policy.hpp"

namespace sjd {

/// What a random number is for. Two draws of one decode never share (position, iteration, purpose,
/// lane), but for `shared`, which leaves out the iteration on purpose.
enum class Purpose : std::uint32_t {
  target = 1,           ///< token drawn from the target law: first token, bonus
  accept = 2,           ///< the test that admits a draft
  residual = 3,         ///< token drawn after a rejection
  entry = 4,            ///< token of an entering slot
  noise = 5,            ///< Gaussian embedding of an entering slot
  refresh = 6,          ///< fresh draft token
  couple_keep = 7,      ///< maximal coupling: keep the draft or not
  couple_residual = 8,  ///< maximal coupling: the new draft
  shared = 9,           ///< noise fixed per position (Gumbel or quantile)
};

/// Where a draw stands. No batch slot, rank, clock or launch shape enters.
struct DrawKey {
  Position position = 0;  ///< image position of the token that the draw is about
  /// Committed iterations of this sequence; a retried one draws the same.
  std::int64_t iteration = 0;
  Purpose purpose = Purpose::target;
};

/// All chance of a decode goes through one gate.
///
/// - `bernoulli(key, part, whole)`: true with probability min(1, part / whole); whole > 0
/// - `categorical(key, law)`: a token of the law
/// - `weighted(key, weights)`: an index with probability weights[i] / sum; not all weights 0
/// - `gaussian(key, values)`: independent standard normals
/// - `quantile(position, law)`: inverse CDF of the law at a uniform fixed per position
template <class G>
concept RandomGate = requires(G& gate, DrawKey key, uint128 mass, const TokenLaw& law,
                              std::span<const uint128> weights, std::span<float> values) {
  { gate.bernoulli(key, mass, mass) } -> std::same_as<bool>;
  { gate.categorical(key, law) } -> std::same_as<TokenId>;
  { gate.weighted(key, weights) } -> std::same_as<std::int64_t>;
  gate.gaussian(key, values);
  { gate.quantile(Position{}, law) } -> std::same_as<TokenId>;
};

/// A gate that draws from the residual of two list laws at once, as `weighted` would.
template <class G>
concept ResidualGate = RandomGate<G> && requires(G& gate, DrawKey key, const TokenLaw& law) {
  { gate.residual(key, law, law) } -> std::same_as<std::int64_t>;
};

/// A gate that also has Gumbel noise fixed per (position, token).
template <class G>
concept GumbelGate = RandomGate<G> && requires(G& gate, const TokenLaw& law) {
  { gate.gumbel(Position{}, law) } -> std::same_as<TokenId>;
};

/// Mixes seed and sample number into one 64-bit key.
///
/// source  the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), applied to seed and then
///         to sample
SJD_HOST_DEVICE inline std::uint64_t mix_key(std::uint64_t seed, std::uint64_t sample) {
  const auto finalise = [](std::uint64_t x) {
    x += 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31);
  };
  return finalise(finalise(seed) ^ sample);
}

/// floor(random x bound / 2^128) for random in [0, 2^128): an integer in [0, bound).
inline uint128 scale_to(uint128 random, uint128 bound) {
  const auto low = std::numeric_limits<std::uint64_t>::max();
  const uint128 a1 = random >> 64, a0 = random & low, b1 = bound >> 64, b0 = bound & low;
  const uint128 middle = a1 * b0 + ((a0 * b0) >> 64);
  const uint128 carry = (a0 * b1 + (middle & low)) >> 64;
  return a1 * b1 + (middle >> 64) + carry;
}

/// The production gate: counter-based, so a draw depends on its key alone and never on what was
/// drawn before.
///
/// counter = (position, iteration, lane, purpose), key = mix_key(seed, sample). Positions,
/// iterations and lanes stay below 2^32.
class PhiloxGate {
 public:
  PhiloxGate(std::uint64_t seed, std::uint64_t sample) : key_{mix_key(seed, sample)} {}

  /// 128 uniform bits of one key and lane.
  [[nodiscard]] uint128 bits(DrawKey key, std::uint32_t lane = 0) const {
    const auto w = words(key, lane);
    return (uint128{(std::uint64_t{w[0]} << 32) | w[1]} << 64) |
           ((std::uint64_t{w[2]} << 32) | w[3]);
  }

  [[nodiscard]] bool bernoulli(DrawKey key, uint128 part, uint128 whole) const {
    return scale_to(bits(key), whole) < part;
  }

  [[nodiscard]] TokenId categorical(DrawKey key, const TokenLaw& law) const {
    return token_at(law, scale_to(bits(key), law.sum()));
  }

  /// errors  contract, naming the position, if every weight is 0: a draft was rejected by the very
  ///         law that is stored with it, so its token is not one of that law
  [[nodiscard]] std::int64_t weighted(DrawKey key, std::span<const uint128> weights) const {
    uint128 total = 0;
    for (const uint128 w : weights) total += w;
    if (total == 0) {
      throw Error{ErrorCode::contract,
                  "no token is left to draw: the draft's stored law does not hold its token", -1,
                  key.position};
    }
    uint128 left = scale_to(bits(key), total);
    std::int64_t i = 0;
    for (; left >= weights[static_cast<std::size_t>(i)]; ++i) {
      left -= weights[static_cast<std::size_t>(i)];
    }
    return i;
  }

  /// The index that weighted() draws from the residual_weights of two list laws; -1 if all are 0.
  [[nodiscard]] std::int64_t residual(DrawKey key, const TokenLaw& target,
                                      const TokenLaw& draft) const {
    return cpu::draw_surplus(target, draft,
                             [&](uint128 total) { return scale_to(bits(key), total); });
  }

  void gaussian(DrawKey key, std::span<float> values) const {
    cpu::kernels().normals(
        {static_cast<std::uint32_t>(key.position), static_cast<std::uint32_t>(key.iteration),
         static_cast<std::uint32_t>(key.purpose), halves()},
        values.data(), static_cast<std::int64_t>(values.size()));
  }

  [[nodiscard]] TokenId quantile(Position position, const TokenLaw& law) const {
    return token_at(law, scale_to(bits({position, 0, Purpose::shared}), law.sum()));
  }

  /// argmax over the support of log(mass) + Gumbel(position, token); the lowest id wins a tie.
  ///
  /// Computed as the exponential race argmin of exponential / mass. The noise does not depend on
  /// the iteration, so a law that did not change gives the token that it gave before.
  [[nodiscard]] TokenId gumbel(Position position, const TokenLaw& law) const {
    TokenId best = law.token(0);
    float best_time = std::numeric_limits<float>::infinity();
    std::uint32_t block = std::numeric_limits<std::uint32_t>::max();
    std::array<std::uint32_t, 4> w{};
    for (std::int64_t i = 0; i < law.size(); ++i) {
      const auto token = static_cast<std::uint32_t>(law.token(i));
      if (token / 4 != block) {
        block = token / 4;
        w = words({position, 0, Purpose::shared}, block);
      }
      const float time = exponential_variate(w[token % 4]) / static_cast<float>(law.mass_at(i));
      if (time < best_time) {
        best_time = time;
        best = law.token(i);
      }
    }
    return best;
  }

 private:
  [[nodiscard]] std::array<std::uint32_t, 4> words(DrawKey key, std::uint32_t lane) const {
    return philox4x32(
        {static_cast<std::uint32_t>(key.position), static_cast<std::uint32_t>(key.iteration), lane,
         static_cast<std::uint32_t>(key.purpose)},
        halves());
  }

  [[nodiscard]] std::array<std::uint32_t, 2> halves() const {
    return {static_cast<std::uint32_t>(key_), static_cast<std::uint32_t>(key_ >> 32)};
  }

  /// The token whose slice of the CDF holds `rank` in [0, sum).
  static TokenId token_at(const TokenLaw& law, uint128 rank) {
    if (law.kind() == TokenLaw::Kind::uniform) return static_cast<TokenId>(rank);
    // Whole blocks first: their sums do not wait for one another.
    auto left = static_cast<std::uint64_t>(rank);
    std::int64_t i = 0;
    for (; i + 64 <= law.size(); i += 64) {
      std::uint64_t block = 0;
      for (std::int64_t j = i; j < i + 64; ++j) block += law.mass_at(j);
      if (left < block) break;
      left -= block;
    }
    for (; left >= law.mass_at(i); ++i) left -= law.mass_at(i);
    return law.token(i);
  }

  std::uint64_t key_;
};

/// Where the denoiser gets its gate for one sequence; the tests put scripted and enumerating gates
/// here.
struct PhiloxRandom {
  using role = role::random;

  [[nodiscard]] PhiloxGate gate(std::uint64_t seed, std::uint64_t sample) const {
    return {seed, sample};
  }

  friend bool operator==(const PhiloxRandom&, const PhiloxRandom&) = default;
};

}  // namespace sjd
