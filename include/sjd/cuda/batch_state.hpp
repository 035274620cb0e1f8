// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/core/config.hpp"
#include "sjd/cuda/laws.hpp"
#include "sjd/cuda/rows_arguments.hpp"
#include "sjd/model.hpp"

/// The state of a batch of sequences where kernels keep it: sjd::DecoderState without owners.
namespace sjd::cuda {

/// Why a sequence stands still.
enum class SequenceStatus : std::int32_t {
  running,
  bad_row,   ///< the law of bad_position, see its LawHead; nothing was committed
  lost_law,  ///< contract: a draft's stored law does not hold its token; nothing was committed
};

/// One sequence between two passes, and what the last pass did to it.
struct SequenceState {
  std::int64_t total = 0;        ///< tokens of the finished picture
  std::int64_t committed = 0;    ///< tokens that stand
  std::int64_t iteration = 0;    ///< committed iterations
  std::int32_t window_rows = 1;  ///< FixedWindow::tokens
  std::int32_t width = 0;        ///< drafts behind the tip

  SequenceStatus status = SequenceStatus::running;
  Position bad_position = -1;

  std::int32_t moved = 0;      ///< the last pass committed something
  std::int32_t shift = 0;      ///< tokens that it committed
  std::int32_t kept = 0;       ///< old drafts that stay
  std::int32_t has_law = 0;    ///< it gave a law to the first new draft
  std::int32_t redrawn = 0;    ///< the first of the kept drafts; LawHead::drawn is their new token
  std::int32_t judged = 0;     ///< slots 1..judged were tested
  std::int32_t accepted = 0;   ///< slots 1..accepted were committed
  std::int32_t recovered = 0;  ///< the token behind them replaces a rejected draft
  TokenId token = -1;          ///< recovered or bonus token, -1 if there is none

  std::int64_t forward_passes = 0;
  std::int64_t rows = 0;
  std::int64_t accepted_in_all = 0;
  std::int64_t recovered_in_all = 0;
  std::int64_t bonus_in_all = 0;

  friend bool operator==(const SequenceState&, const SequenceState&) = default;
};

/// What the sequences kernel decided about one sequence, before anything is committed.
struct Verdict {
  SequenceState state{};
  std::int32_t live = 0;        ///< there was something to judge, and nothing went wrong
  std::int32_t draws = 0;       ///< a token was drawn from law `accepted`
  TokenId drawn = -1;           ///< that token
  std::int32_t first_bad = 0;   ///< first row that the window needs and does not have, or none
  std::int32_t first_lost = 0;  ///< first slot whose stored law does not hold its token, or none

  /// No row and no slot.
  [[nodiscard]] SJD_HOST_DEVICE std::int32_t none() const { return state.width + 1; }
};

/// One draft; its law stands in the LawTable, its noisy embedding in BatchState::noisy.
struct DraftSlot {
  std::int32_t level = 0;
  std::int32_t age = 0;
  TokenId token = -1;

  friend bool operator==(const DraftSlot&, const DraftSlot&) = default;
};

/// Counts of one batch; see DecodeStatistics.
///
/// shapes  each [sequences, ring]
struct BatchCounts {
  std::uint64_t* judged_by_slot = nullptr;
  std::uint64_t* accepted_by_slot = nullptr;
  std::uint64_t* judged_by_age = nullptr;
  std::uint64_t* accepted_by_age = nullptr;
  std::uint64_t* passes_by_rows = nullptr;
};

/// All arrays of a batch. What belongs to a position stands at place position % ring, so that a
/// window moves by counting on: nothing is copied.
///
/// shapes  states, settings, lost [sequences]; tokens [sequences, most_tokens]; slots
///         [sequences, ring]; noisy [sequences, ring, dim], dim 0 without noise;
///         laws: [sequences, 2, ring], those of this pass and of the one before by turns
/// memory  borrowed; ring >= rows of the widest pass
struct BatchState {
  std::int64_t sequences = 0;
  std::int64_t ring = 0;
  std::int64_t most_tokens = 0;
  std::int64_t dim = 0;
  const SequenceSettings* settings = nullptr;
  SequenceState* states = nullptr;
  TokenId* tokens = nullptr;
  DraftSlot* slots = nullptr;
  float* noisy = nullptr;
  LawTable laws{};
  BatchCounts counts{};
  /// First position whose draft lost its law in the window kernel, or no_position.
  std::uint64_t* lost = nullptr;

  static constexpr std::uint64_t no_position = 0xFFFFFFFFFFFFFFFFU;

  /// Place of a position in slots and noisy.
  [[nodiscard]] SJD_HOST_DEVICE std::int64_t slot(std::int64_t sequence, Position position) const {
    return sequence * ring + position % ring;
  }
  /// Place of the law that the pass of `iteration` gives for a position.
  [[nodiscard]] SJD_HOST_DEVICE std::int64_t law(std::int64_t sequence, Position position,
                                                 std::int64_t iteration) const {
    return (2 * sequence + iteration % 2) * ring + position % ring;
  }
};

}  // namespace sjd::cuda
