// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>

#include "sjd/core/config.hpp"
#include "sjd/core/draw.hpp"
#include "sjd/core/error.hpp"
#include "sjd/core/mass.hpp"
#include "sjd/core/numeric.hpp"
#include "sjd/cpu/kernels.hpp"
#include "sjd/cpu/residual.hpp"
#include "sjd/policy.hpp"

namespace sjd {

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

/// A gate that draws from the residual of a list law and a list or uniform law at once, as
/// `weighted` would.
template <class G>
concept ResidualGate = RandomGate<G> && requires(G& gate, DrawKey key, const TokenLaw& law) {
  { gate.residual(key, law, law) } -> std::same_as<std::int64_t>;
};

/// A gate that also has Gumbel noise fixed per (position, token).
template <class G>
concept GumbelGate = RandomGate<G> && requires(G& gate, const TokenLaw& law) {
  { gate.gumbel(Position{}, law) } -> std::same_as<TokenId>;
};

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
    return draw_bits(key_, key, lane);
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

  /// The index that weighted() draws from the residual_weights of a list law and a list or uniform
  /// law; -1 if all are 0.
  [[nodiscard]] std::int64_t residual(DrawKey key, const TokenLaw& target,
                                      const TokenLaw& draft) const {
    return cpu::draw_surplus(target, draft,
                             [&](uint128 total) { return scale_to(bits(key), total); });
  }

  void gaussian(DrawKey key, std::span<float> values) const {
    cpu::kernels().normals(stream(key), values.data(), static_cast<std::int64_t>(values.size()));
  }

  [[nodiscard]] TokenId quantile(Position position, const TokenLaw& law) const {
    return token_at(law, scale_to(bits({position, 0, Purpose::shared}), law.sum()));
  }

  /// argmax over the support of log(mass) + Gumbel(position, token); the lowest id wins a tie.
  ///
  /// Computed as the exponential race argmin of exponential / mass. The noise does not depend on
  /// the iteration, so a law that did not change gives the token that it gave before.
  [[nodiscard]] TokenId gumbel(Position position, const TokenLaw& law) const {
    if (law.kind() == TokenLaw::Kind::list) {
      const cpu::MassList list = cpu::detail::list_of(law);
      return list.tokens[cpu::kernels().race(list, stream({position, 0, Purpose::shared}))];
    }
    TokenId best = law.token(0);
    float best_time = std::numeric_limits<float>::infinity();
    std::uint32_t block = std::numeric_limits<std::uint32_t>::max();
    std::array<std::uint32_t, 4> w{};
    for (std::int64_t i = 0; i < law.size(); ++i) {
      const auto token = static_cast<std::uint32_t>(law.token(i));
      if (token / 4 != block) {
        block = token / 4;
        w = draw_words(key_, {position, 0, Purpose::shared}, block);
      }
      const float time = exponential_variate(w[token % 4]);  // masses are equal
      if (time < best_time) {
        best_time = time;
        best = law.token(i);
      }
    }
    return best;
  }

 private:
  [[nodiscard]] cpu::PhiloxStream stream(DrawKey key) const {
    return {static_cast<std::uint32_t>(key.position), static_cast<std::uint32_t>(key.iteration),
            static_cast<std::uint32_t>(key.purpose), key_halves(key_)};
  }

  /// The token whose slice of the CDF holds `rank` in [0, sum).
  static TokenId token_at(const TokenLaw& law, uint128 rank) {
    if (law.kind() == TokenLaw::Kind::uniform) return static_cast<TokenId>(rank);
    if (law.kind() != TokenLaw::Kind::list) return law.token(0);
    const std::span<const std::uint32_t> masses = law.masses();
    // Whole blocks first: their sums do not wait for one another.
    auto left = static_cast<std::uint64_t>(rank);
    std::size_t i = 0;
    for (; i + 64 <= masses.size(); i += 64) {
      std::uint64_t block = 0;
      for (std::size_t j = i; j < i + 64; ++j) block += masses[j];
      if (left < block) break;
      left -= block;
    }
    for (; left >= masses[i]; ++i) left -= masses[i];
    return law.tokens()[i];
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
