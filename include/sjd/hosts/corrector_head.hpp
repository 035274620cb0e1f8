// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/hosts/corrector_weights.hpp"
#include "sjd/hosts/kernels.hpp"
#include "sjd/hosts/linear.hpp"
#include "sjd/policies/corrector.hpp"

namespace sjd::hosts {

/// Drafts whose products a head takes together: with tiles sixteen rows cost hardly more than one;
/// without, a product costs what its rows cost and an early one may be in vain.
[[nodiscard]] constexpr std::int64_t drafts_together(InstructionSet set, Storage storage) {
  return set == InstructionSet::amx && storage == Storage::bf16 ? 8 : 1;
}

/// The corrector head of a checkpoint: given what changed to the left of a draft, the change of its
/// logits. A small residual network with one table of vectors for every neighbour.
///
/// u = A [h_(i-1); h_i] + distance + sum_n before_n[token] + sum_n (now_n[token] + changed_n)
/// x = silu(u);  y = x + silu(B x + b);  logits += C y
///
/// Row-invariant as the engine is: a slot's result does not depend on what else is in the pass. So
/// a draft may be computed together with one to its left, with the neighbours that it has by then,
/// and the result serves if they still stand when its turn comes.
///
/// threads one head belongs to one thread at a time
class CorrectorHead {
 public:
  /// `together` >= 1: drafts computed at once; no result depends on it
  CorrectorHead(CorrectorWeights weights, InstructionSet instruction_set, std::int64_t together)
      : weights_{std::move(weights)},
        kernel_{&kernels(instruction_set)},
        together_{together},
        input_rows_{weights_.storage, 0, weights_.input.inputs()},
        hidden_rows_{weights_.storage, together, weights_.width},
        hidden_{together * weights_.width},
        inner_{together * weights_.width},
        products_{together * weights_.output.padded_outputs()},
        tokens_(weights_.neighbours.size()) {}

  [[nodiscard]] static CorrectorHead load(const std::filesystem::path& path, std::int64_t vocab,
                                          std::int64_t hidden_dim, Storage storage,
                                          InstructionSet instruction_set) {
    return {read_corrector_weights(path, vocab, hidden_dim, storage), instruction_set,
            drafts_together(instruction_set, storage)};
  }

  [[nodiscard]] const CorrectorWeights& weights() const noexcept { return weights_; }

  /// Takes the drafts of one sequence for the calls of correct() that follow; the product that
  /// reads hidden rows is done for all of them.
  ///
  /// shapes  drafts of consecutive rows >= 1; their hidden() [rows, hidden_dim] without gaps, guided
  /// memory  borrows drafts until the next begin()
  /// errors  contract if the rows are not those of this model
  void begin(std::span<const CorrectionContext> drafts) {
    drafts_ = {};
    if (drafts.empty()) return;
    const MatrixView<const float> hidden = drafts.front().hidden();
    const auto count = static_cast<std::int64_t>(drafts.size());
    const std::int64_t first = drafts.front().row();
    expects(first >= 1 && first + count <= hidden.rows && hidden.stride == hidden.columns &&
                2 * hidden.columns == weights_.input.inputs() &&
                drafts.back().row() == first + count - 1,
            ErrorCode::contract, "CorrectorHead: the hidden rows are not those of this model");
    drafts_ = drafts;
    reserve(count);
    for (std::int64_t i = 0; i < count; ++i) {
      // Neighbouring rows lie side by side, so a row and the one before it are one vector.
      input_rows_.store(*kernel_, i, 0, hidden.data + (first - 1 + i) * hidden.stride,
                        2 * hidden.columns);
    }
    weights_.input.apply(*kernel_, input_rows_,
                         {.rows = count,
                          .panels = weights_.input.panels(),
                          .y = rows_.data(),
                          .y_stride = weights_.width});
  }

  /// Adds the change of the logits of one draft; false if no neighbour changed.
  ///
  /// shapes  inout_logits [vocab], guided, at temperature 1
  /// errors  contract if begin() did not cover the row
  [[nodiscard]] bool correct(const CorrectionContext& context, std::span<float> inout_logits) {
    if (!changed(context)) return false;
    const std::int64_t draft = drafts_.empty() ? -1 : context.row() - drafts_.front().row();
    expects(draft >= 0 && draft < static_cast<std::int64_t>(drafts_.size()) &&
                static_cast<std::int64_t>(inout_logits.size()) == weights_.vocab,
            ErrorCode::contract, "CorrectorHead: begin() did not cover this draft");
    if (!known(draft, context)) compute_from(draft, context);
    const float* change = changes_.data() + draft * weights_.output.padded_outputs();
    for (std::size_t v = 0; v < inout_logits.size(); ++v) inout_logits[v] += change[v];
    return true;
  }

 private:
  /// What is kept of a draft between two products.
  enum class Stage : std::uint8_t {
    fresh,   ///< row: A [h_(i-1); h_i]
    rooted,  ///< row: all that does not depend on the tokens as they stand now
    known,   ///< and the change of its logits, for the tokens in now_
  };

  void reserve(std::int64_t count) {
    if (static_cast<std::int64_t>(stages_.size()) < count) {
      rows_ = AlignedArray<float>{count * weights_.width};
      input_rows_ = Activations{weights_.storage, count, weights_.input.inputs()};
      changes_ = AlignedArray<float>{count * weights_.output.padded_outputs()};
      stages_.resize(static_cast<std::size_t>(count));
      now_.resize(static_cast<std::size_t>(count) * weights_.neighbours.size());
    }
    std::fill(stages_.begin(), stages_.end(), Stage::fresh);
  }

  [[nodiscard]] bool changed(const CorrectionContext& context) const {
    return std::any_of(
        weights_.neighbours.begin(), weights_.neighbours.end(),
        [&](std::int32_t offset) { return context.now(offset) != context.before(offset); });
  }

  /// Whether the change of a draft was computed for the neighbours that it has now; else they are
  /// written down.
  bool known(std::int64_t draft, const CorrectionContext& context) {
    for (std::size_t n = 0; n < tokens_.size(); ++n) {
      tokens_[n] = context.now(weights_.neighbours[n]);
    }
    TokenId* now = now_.data() + static_cast<std::size_t>(draft) * tokens_.size();
    if (stages_[static_cast<std::size_t>(draft)] == Stage::known &&
        std::equal(tokens_.begin(), tokens_.end(), now)) {
      return true;
    }
    std::copy(tokens_.begin(), tokens_.end(), now);
    return false;
  }

  /// Computes the change of one draft, and of drafts to its right while there is room.
  void compute_from(std::int64_t draft, const CorrectionContext& context) {
    batch_.assign(1, draft);
    call_for(draft, context);
    const auto end = std::min(draft + together_, static_cast<std::int64_t>(drafts_.size()));
    for (std::int64_t i = draft + 1; i < end; ++i) {
      const CorrectionContext& ahead = drafts_[static_cast<std::size_t>(i)];
      if (!changed(ahead) || known(i, ahead)) continue;
      batch_.push_back(i);
      call_for(i, ahead);
    }
    for (std::size_t k = 0; k < batch_.size(); ++k) {
      const bool own = k == 0;
      gather(batch_[k], own ? context : drafts_[static_cast<std::size_t>(batch_[k])],
             hidden_.data() + static_cast<std::int64_t>(k) * weights_.width);
    }
    run_batch();
  }

  /// The changes of the drafts in batch_, whose sums stand in hidden_.
  void run_batch() {
    const auto count = static_cast<std::int64_t>(batch_.size());
    const std::int64_t width = weights_.width;
    const std::int64_t outputs = weights_.output.padded_outputs();
    kernel_->silu(hidden_.data(), hidden_.data(), count * width);
    multiply(weights_.inner, count, inner_.data());
    for (std::int64_t k = 0; k < count; ++k) {
      float* row = inner_.data() + k * width;
      for (std::int64_t j = 0; j < width; ++j)
        row[j] += weights_.inner_bias[static_cast<std::size_t>(j)];
    }
    kernel_->silu(inner_.data(), inner_.data(), count * width);
    for (std::int64_t j = 0; j < count * width; ++j) hidden_.data()[j] += inner_.data()[j];
    multiply(weights_.output, count, products_.data());
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t draft = batch_[static_cast<std::size_t>(k)];
      std::copy_n(products_.data() + k * outputs, outputs, changes_.data() + draft * outputs);
      stages_[static_cast<std::size_t>(draft)] = Stage::known;
    }
  }

  /// Asks for the rows of the tables that gather() will read.
  void call_for(std::int64_t draft, const CorrectionContext& context) const {
    const TokenId* now = now_.data() + static_cast<std::size_t>(draft) * tokens_.size();
    const bool fresh = stages_[static_cast<std::size_t>(draft)] == Stage::fresh;
    for (std::size_t n = 0; n < tokens_.size(); ++n) {
      weights_.now.call_for(table_row(n, now[n]));
      if (fresh) weights_.before.call_for(table_row(n, context.before(weights_.neighbours[n])));
    }
  }

  /// sum [H] = everything inside the first silu.
  void gather(std::int64_t draft, const CorrectionContext& context, float* sum) {
    const std::int64_t width = weights_.width;
    float* root = rows_.data() + draft * width;
    Stage& stage = stages_[static_cast<std::size_t>(draft)];
    if (stage == Stage::fresh) {
      const std::int64_t step = std::clamp<std::int64_t>(context.distance(), 1, weights_.distances);
      weights_.distance.add_to(root, step - 1);
      for (std::size_t n = 0; n < tokens_.size(); ++n) {
        weights_.before.add_to(root, table_row(n, context.before(weights_.neighbours[n])));
      }
      stage = Stage::rooted;
    }
    std::copy_n(root, width, sum);
    const TokenId* now = now_.data() + static_cast<std::size_t>(draft) * tokens_.size();
    for (std::size_t n = 0; n < tokens_.size(); ++n) {
      weights_.now.add_to(sum, table_row(n, now[n]));
      if (now[n] != context.before(weights_.neighbours[n])) {
        weights_.changed.add_to(sum, static_cast<std::int64_t>(n));
      }
    }
  }

  [[nodiscard]] std::int64_t table_row(std::size_t neighbour, TokenId token) const {
    const auto n = static_cast<std::int64_t>(neighbour);
    return n * (weights_.vocab + 1) + (token < 0 ? weights_.vocab : token);
  }

  /// y [rows, padded outputs] = layer hidden.
  void multiply(const PackedLinear& layer, std::int64_t rows, float* y) const {
    for (std::int64_t k = 0; k < rows; ++k) {
      hidden_rows_.store(*kernel_, k, 0, hidden_.data() + k * weights_.width, weights_.width);
    }
    layer.apply(
        *kernel_, hidden_rows_,
        {.rows = rows, .panels = layer.panels(), .y = y, .y_stride = layer.padded_outputs()});
  }

  CorrectorWeights weights_;
  const KernelTable* kernel_;
  std::int64_t together_;
  Activations input_rows_;                     // [drafts, 2 d]
  Activations hidden_rows_;                    // [together, H]
  AlignedArray<float> rows_;                   // [drafts, H], see Stage
  AlignedArray<float> hidden_;                 // [together, H]
  AlignedArray<float> inner_;                  // [together, H]
  AlignedArray<float> products_;               // [together, padded vocab]
  AlignedArray<float> changes_;                // [drafts, padded vocab]
  std::vector<TokenId> now_;                   // [drafts, N]
  std::vector<Stage> stages_;                  // [drafts]
  std::vector<TokenId> tokens_;                // [N]
  std::vector<std::int64_t> batch_;            // drafts of one product, ascending
  std::span<const CorrectionContext> drafts_;  // of this pass, borrowed
};

}  // namespace sjd::hosts
