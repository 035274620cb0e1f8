// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "sjd/core/config.hpp"
#include "sjd/core/philox.hpp"
#include "sjd/model.hpp"

/// The arithmetic of a draw, shared by the gate of the CPU and the kernels.
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
SJD_HOST_DEVICE inline uint128 scale_to(uint128 random, uint128 bound) {
  constexpr std::uint64_t low = 0xFFFFFFFFFFFFFFFFU;
  const uint128 a1 = random >> 64, a0 = random & low, b1 = bound >> 64, b0 = bound & low;
  const uint128 middle = a1 * b0 + ((a0 * b0) >> 64);
  const uint128 carry = (a0 * b1 + (middle & low)) >> 64;
  return a1 * b1 + (middle >> 64) + carry;
}

/// The two words of a key as Philox takes them.
SJD_HOST_DEVICE inline std::array<std::uint32_t, 2> key_halves(std::uint64_t key) {
  return {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
}

/// Four random words: counter = (position, iteration, lane, purpose), key = mix_key(seed, sample).
SJD_HOST_DEVICE inline std::array<std::uint32_t, 4> draw_words(std::uint64_t key, DrawKey draw,
                                                               std::uint32_t lane) {
  return philox4x32(
      {static_cast<std::uint32_t>(draw.position), static_cast<std::uint32_t>(draw.iteration), lane,
       static_cast<std::uint32_t>(draw.purpose)},
      key_halves(key));
}

/// The same as one number of 128 bits, the first word on top.
SJD_HOST_DEVICE inline uint128 draw_bits(std::uint64_t key, DrawKey draw, std::uint32_t lane = 0) {
  const std::array<std::uint32_t, 4> w = draw_words(key, draw, lane);
  return (uint128{(std::uint64_t{w[0]} << 32) | w[1]} << 64) | ((std::uint64_t{w[2]} << 32) | w[3]);
}

}  // namespace sjd
