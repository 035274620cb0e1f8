// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "sjd/policies/corrector.hpp"
#include "support/table_law.hpp"

namespace sjd::test {

/// An arbitrary function of everything that a corrector may see.
struct TableCorrector {
  using role = role::corrector;
  static constexpr bool reads_hidden = false;

  std::int64_t depth = 8;
  float spread = 2.0F;          ///< corrections lie in [-spread, spread]
  bool one_token_only = false;  ///< takes every token but one away
  std::uint64_t salt = 1;

  template <class Model>
  [[nodiscard]] bool correct(Model&, const CorrectionContext& context,
                             std::span<float> logits) const {
    const std::uint64_t seen = digest(context);
    if (seen % 5 == 0) return false;
    change(seen, logits);
    return true;
  }

  /// Context is a CorrectionContext or, on a device, a cuda::DraftContext.
  template <class Context>
  [[nodiscard]] SJD_HOST_DEVICE std::uint64_t digest(const Context& context) const {
    std::uint64_t h = mix(salt ^ static_cast<std::uint64_t>(context.distance()));
    for (std::int64_t offset = 1; offset <= context.position() + 1; ++offset) {
      h = mix(h ^ static_cast<std::uint64_t>(context.now(offset) + 2));
      h = mix(h ^ static_cast<std::uint64_t>(context.before(offset) + 9));
    }
    return h;
  }

  void change(std::uint64_t seen, std::span<float> logits) const {
    for (std::size_t v = 0; v < logits.size(); ++v) logits[v] = changed(seen, v, logits);
  }

  /// The new logit of token v; `logits` are all, of size() tokens.
  template <class Logits>
  [[nodiscard]] SJD_HOST_DEVICE float changed(std::uint64_t seen, std::size_t v,
                                              const Logits& logits) const {
    const float unit = static_cast<float>(mix(seen ^ (v + 31)) % 4096) / 2048.0F - 1.0F;
    if (one_token_only && v != mix(seen) % logits.size()) {
      return -std::numeric_limits<float>::infinity();
    }
    return logits[v] + unit * spread;
  }
};

}  // namespace sjd::test
