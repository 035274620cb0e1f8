// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/cuda/detail/commit.hpp"

namespace sjd::cuda {

/// What a corrector may see of one draft, on a device; see sjd::CorrectionContext. The verdict is
/// not committed yet, so new tokens are read where they were decided.
struct DraftContext {
  const BatchState& batch;
  const Verdict& verdict;
  std::int64_t sequence = 0;
  std::int64_t slot = 0;  ///< of the window that the pass was fed, from 0

  /// Image position of the draft.
  [[nodiscard]] SJD_DEVICE Position position() const { return verdict.state.committed + slot; }
  /// Positions between the new tip and the draft; 1 = right behind the tip.
  [[nodiscard]] SJD_DEVICE std::int64_t distance() const { return slot - verdict.state.shift + 1; }
  /// The row of this sequence that predicted the draft, 0 = the tip of the pass.
  [[nodiscard]] SJD_DEVICE std::int64_t row() const { return slot; }

  /// The token `offset` >= 1 positions to the left as it stands now; -1 outside the picture and for
  /// whatever is not to the left.
  [[nodiscard]] SJD_DEVICE TokenId now(std::int64_t offset) const {
    const std::int64_t at = slot - offset;
    if (offset < 1 || position() < offset) return -1;
    if (at < 0) return committed(at);
    if (at < verdict.state.accepted) return old(at).token;
    if (at == verdict.state.accepted && verdict.draws != 0) return verdict.drawn;
    return detail::target_law(batch, sequence, verdict.state, at).head.drawn;
  }

  /// The token that the pass was fed there; -1 outside the picture or where it was fed noise.
  [[nodiscard]] SJD_DEVICE TokenId before(std::int64_t offset) const {
    const std::int64_t at = slot - offset;
    if (offset < 1 || position() < offset) return -1;
    if (at < 0) return committed(at);
    return old(at).level == 0 ? old(at).token : -1;
  }

 private:
  [[nodiscard]] SJD_DEVICE TokenId committed(std::int64_t at) const {
    return batch.tokens[sequence * batch.most_tokens + verdict.state.committed + at];
  }
  [[nodiscard]] SJD_DEVICE const DraftSlot& old(std::int64_t at) const {
    return detail::draft_slot(batch, sequence, verdict.state, at);
  }

 public:
  SJD_DEVICE DraftContext(const BatchState& of, const Verdict& decided, std::int64_t number,
                          std::int64_t at)
      : batch{of}, verdict{decided}, sequence{number}, slot{at} {}
};

}  // namespace sjd::cuda
