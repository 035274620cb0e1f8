// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "sjd/model.hpp"

namespace sjd::test {

/// Finite symbols that a host may see: tokens are 0 .. vocab-1, noisy inputs lie above them.
using Symbol = std::uint64_t;

/// What a table law is: everything that decides the logits.
struct TableOptions {
  std::int64_t vocab = 3;
  std::int64_t dim = 1;
  std::uint64_t seed = 1;
  std::int32_t sequences = 1;
  bool integer_logits = false;  ///< logits are integers, so that sums of them are exact
  float spread = 2.0F;          ///< logits lie in [-spread, spread]
  std::int32_t grid = 4;
  float rho_min = 0.5F;
  float rho_max = 2.0F;
  bool posterior_mean = false;
  bool per_channel = true;
};

/// A prompt of one guidance branch is a list of words; the unconditional one is empty.
struct TablePrompt {
  std::vector<std::uint64_t> words;
};

SJD_HOST_DEVICE inline std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

/// The arithmetic of a table law, for a host and for kernels alike.
struct TableRule {
  TableOptions options;

  [[nodiscard]] SJD_HOST_DEVICE static std::uint64_t extend(std::uint64_t context, Symbol symbol) {
    return mix(context ^ mix(symbol + 1));
  }
  /// The symbol of a noisy input: its level and the half-unit bin of every channel.
  [[nodiscard]] SJD_HOST_DEVICE Symbol noisy_symbol(std::int32_t level,
                                                    const float* embedding) const {
    auto symbol = static_cast<Symbol>(level);
    for (std::int64_t d = 0; d < options.dim; ++d) {
      const float bin = std::floor(2.0F * embedding[d]);
      const float held = bin < -8.0F ? -8.0F : bin > 7.0F ? 7.0F : bin;
      symbol = symbol * 16 + static_cast<Symbol>(static_cast<std::int64_t>(held) + 8);
    }
    return static_cast<Symbol>(options.vocab) + symbol;
  }
  /// A number in [-1, 1) that a context has in some place.
  [[nodiscard]] SJD_HOST_DEVICE static float unit(std::uint64_t h) {
    return static_cast<float>(h % 4096) / 2048.0F - 1.0F;
  }
  /// The logit of token v in the row that ends `context`.
  [[nodiscard]] SJD_HOST_DEVICE float logit(std::uint64_t context, std::uint64_t v) const {
    const float z = unit(mix(context ^ mix(v * 2654435761U + 5))) * options.spread;
    return options.integer_logits ? std::nearbyint(z) : z;
  }
  /// Number k of the hidden row that ends `context`.
  [[nodiscard]] SJD_HOST_DEVICE static float hidden(std::uint64_t context, std::uint64_t k) {
    return unit(mix(context ^ (k + 51)));
  }
};

/// An arbitrary causal law: the logits of a row are a hash of the branch's prompt and of every
/// symbol fed up to that row. Shared by the table host and by the three concept mocks.
class TableLaw {
 public:
  explicit TableLaw(TableOptions options) : options_{options} {
    for (std::int64_t i = 0; i < options.vocab * options.dim; ++i) {
      const std::uint64_t h = mix(options.seed ^ mix(static_cast<std::uint64_t>(i) + 77));
      table_.push_back(static_cast<float>(h % 4096) / 1024.0F - 2.0F);
    }
  }

  [[nodiscard]] const TableOptions& options() const { return options_; }
  [[nodiscard]] MatrixView<const float> table() const {
    return {table_.data(), options_.vocab, options_.dim};
  }

  /// The context in front of image position 0. Branch 0 sees the prompt, the last one none of it;
  /// branches between them see a part.
  [[nodiscard]] std::uint64_t begin(const TablePrompt& prompt, std::int64_t branch,
                                    std::int64_t branches) const {
    std::uint64_t h = mix(options_.seed);
    const auto words = static_cast<std::int64_t>(prompt.words.size());
    const std::int64_t seen = branch == 0 ? words : words * (branches - 1 - branch) / branches;
    for (std::int64_t i = 0; i < seen; ++i)
      h = extend(h, prompt.words[static_cast<std::size_t>(i)]);
    return h;
  }

  [[nodiscard]] std::uint64_t extend(std::uint64_t context, Symbol symbol) const {
    return TableRule::extend(context, symbol);
  }

  [[nodiscard]] Symbol noisy_symbol(std::int32_t level, std::span<const float> embedding) const {
    return TableRule{options_}.noisy_symbol(level, embedding.data());
  }

  /// Logits [vocab] of the row that ends `context`.
  void logits(std::uint64_t context, std::span<float> out) const {
    const TableRule rule{options_};
    for (std::size_t v = 0; v < out.size(); ++v) out[v] = rule.logit(context, v);
  }

 private:
  TableOptions options_;
  std::vector<float> table_;  // [vocab, dim]
};

}  // namespace sjd::test
