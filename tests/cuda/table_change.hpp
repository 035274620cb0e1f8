// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "sjd/cuda/redraw.hpp"
#include "support/table_corrector.hpp"

namespace sjd::test {

/// TableCorrector as phases.
struct TableChange {
  struct Shared {
    std::uint64_t seen;
  };

  TableCorrector corrector{};
  std::size_t vocab = 0;

  template <class Block>
  SJD_DEVICE void prepare(Block&, const cuda::RedrawScene&) const {}
  [[nodiscard]] SJD_DEVICE bool changed(const cuda::DraftContext& draft, Shared& s) const {
    s.seen = corrector.digest(draft);
    return s.seen % 5 != 0;
  }
  template <class Block>
  SJD_DEVICE void correct(Block&, const cuda::DraftContext&) const {}
  SJD_DEVICE void change(const cuda::DraftContext&, const Shared& s, std::int64_t token,
                         float (&inout_logits)[4]) const {
    struct Window {
      const float* logits;
      std::size_t first, vocab;
      SJD_DEVICE float operator[](std::size_t v) const { return logits[v - first]; }
      SJD_DEVICE std::size_t size() const { return vocab; }
    };
    const auto first = static_cast<std::size_t>(token);
    for (std::size_t i = 0; i < 4; ++i) {
      inout_logits[i] = corrector.changed(s.seen, first + i, Window{inout_logits, first, vocab});
    }
  }
};

}  // namespace sjd::test
