// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <span>

#include "sjd/core/matrix_view.hpp"
#include "sjd/model.hpp"
#include "sjd/policy.hpp"
#include "sjd/state.hpp"

namespace sjd {

/// Everything that a corrector may see of one draft: what stands to its left, now and in the pass
/// just done, and what that pass said of its position. Nothing here depends on the draft itself or
/// on anything to its right, which is what keeps the corrected law exact.
class CorrectionContext {
 public:
  CorrectionContext(const DecoderState& before, const DecoderState& now, std::int64_t index,
                    std::int64_t shift, MatrixView<const float> hidden)
      : before_{&before}, now_{&now}, index_{index}, shift_{shift}, hidden_{hidden} {}

  /// Image position of the draft.
  [[nodiscard]] Position position() const { return before_->committed() + index_; }
  /// Positions between the new tip and the draft; 1 = right behind the tip.
  [[nodiscard]] std::int64_t distance() const { return index_ - shift_ + 1; }
  /// The row of this sequence that predicted the draft, 0 = the tip of the pass.
  [[nodiscard]] std::int64_t row() const { return index_; }

  /// Guided hidden rows of this sequence [rows, hidden_dim]; only rows 0 .. row() may be read.
  [[nodiscard]] MatrixView<const float> hidden() const { return hidden_; }

  /// The token `offset` >= 1 positions to the left as it stands now; -1 outside the picture and for
  /// whatever is not to the left.
  [[nodiscard]] TokenId now(std::int64_t offset) const {
    const Position at = position() - offset;
    if (at < 0 || offset < 1) return -1;
    if (at < now_->committed()) return now_->tokens[static_cast<std::size_t>(at)];
    return now_->window[static_cast<std::size_t>(at - before_->committed())].token;
  }

  /// The token that the last pass was fed there; -1 outside the picture or where it was fed noise.
  [[nodiscard]] TokenId before(std::int64_t offset) const {
    const Position at = position() - offset;
    if (at < 0 || offset < 1) return -1;
    if (at < before_->committed()) return before_->tokens[static_cast<std::size_t>(at)];
    const Slot& slot = before_->window[static_cast<std::size_t>(at - before_->committed())];
    return slot.level == 0 ? slot.token : -1;
  }

 private:
  const DecoderState* before_;
  // Committed tokens, then slots of the old window: those left of the draft are new.
  const DecoderState* now_;
  std::int64_t index_;
  std::int64_t shift_;
  MatrixView<const float> hidden_;
};

/// A corrector redraws the first drafts of the next pass, left to right, in the context that they
/// now have.
///
/// - `depth`: how many drafts behind the tip it may redraw
/// - `correct(model, context, logits)`: changes the guided logits [vocab] that the last pass gave
///   for the draft and returns true, or returns false and leaves them alone. It must be a function
///   of the context and these logits. Grammar and filters follow; the draft moves to the new law by
///   the composition's refinement.
/// - `begin(model, drafts)`, optional: called once a pass and sequence with the contexts of all
///   drafts that may be redrawn, left to right by rows; correct() follows with each of them in this
///   order. They stay valid until the last one and follow the window as it moves, so that work may
///   be done in advance and for many drafts at once; what they say before their turn may change and
///   must not decide anything.
/// - `reads_hidden`: the model must lend its hidden rows
template <class P, class Model>
concept CorrectorPolicy = PolicyOf<P, role::corrector> &&
    requires(const P& policy, Model& model, const CorrectionContext& context,
             std::span<float> logits) {
  { policy.depth } -> std::convertible_to<std::int64_t>;
  { policy.correct(model, context, logits) } -> std::same_as<bool>;
  { P::reads_hidden } -> std::convertible_to<bool>;
};

/// No correction: drafts keep the law of the pass just done.
struct NoCorrector {
  using role = role::corrector;
  static constexpr bool reads_hidden = false;
  static constexpr std::int64_t depth = 0;

  template <class Model>
  [[nodiscard]] bool correct(Model&, const CorrectionContext&, std::span<float>) const {
    return false;
  }

  friend bool operator==(const NoCorrector&, const NoCorrector&) = default;
};

/// The head that ships with the checkpoint: model.corrector_head().correct(context, logits).
struct HeadCorrector {
  using role = role::corrector;
  static constexpr bool reads_hidden = true;

  std::int64_t depth = 32;  ///< drafts behind the tip that may be redrawn

  template <class Model>
  void begin(Model& model, std::span<const CorrectionContext> drafts) const {
    model.corrector_head().begin(drafts);
  }

  template <class Model>
  [[nodiscard]] bool correct(Model& model, const CorrectionContext& context,
                             std::span<float> logits) const {
    return model.corrector_head().correct(context, logits);
  }

  void validate() const {
    expects(depth >= 0, ErrorCode::invalid_argument, "HeadCorrector: depth must be >= 0");
  }

  friend bool operator==(const HeadCorrector&, const HeadCorrector&) = default;
};

}  // namespace sjd
