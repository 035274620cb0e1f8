// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "sjd/core/sampling.hpp"
#include "sjd/cpu/law_builder.hpp"
#include "sjd/policies/grammar.hpp"

namespace sjd::cpu {

/// The logits rows of one sequence in a pass: `branches` blocks of `count` consecutive rows, branch
/// 0 first.
template <LogitType T>
struct RowBlock {
  MatrixView<const T> logits;  ///< all rows of the pass [rows, vocab]
  std::int64_t first = 0;      ///< first row of branch 0
  std::int64_t count = 0;      ///< rows of each branch: the tip and the drafts
  std::int64_t branches = 1;

  /// Row j of every branch [branches, vocab].
  [[nodiscard]] MatrixView<const T> row(std::int64_t j) const {
    return {logits.data + (first + j) * logits.stride, branches, logits.columns,
            count * logits.stride};
  }
};

using SequenceRows = RowBlock<float>;

/// Turns rows of logits into laws: guidance, grammar, filters, masses.
class RowPipeline {
 public:
  explicit RowPipeline(const KernelTable& kernel = kernels())
      : kernel_{&kernel}, builder_{kernel} {}

  /// The law of the token at `position`.
  ///
  /// shapes  branches [guidance.size() + 1, vocab], fp32, bf16 or half numbers; law overwritten
  /// edge    a forced position has a point law, whatever the logits say
  /// errors  invalid_logits, empty_support, naming sequence and position
  template <class T = const float, GrammarPolicy Grammar>
  void law(MatrixView<T> branches, std::span<const float> guidance, const Grammar& grammar,
           const SamplingOptions& options, std::int32_t sequence, Position position,
           TokenLaw& law) {
    if constexpr (std::is_same_v<Grammar, NoGrammar>) {
      const std::span<const T> last = branches.row(branches.rows - 1);
      if (guidance.size() <= 1 &&
          builder_.template build_guided<std::remove_const_t<T>>(
              branches.row(0), last, guidance.empty() ? 0.0F : guidance[0], options, law)) {
        return;
      }
    }
    corrected_law(branches, guidance, grammar, options, sequence, position, law,
                  [](std::span<float>) {});
  }

  /// The same, with `correct(logits)` between guidance and grammar; it may change the logits
  /// [vocab] and is not asked where the position is forced.
  template <class T = const float, GrammarPolicy Grammar, class Correct>
  void corrected_law(MatrixView<T> branches, std::span<const float> guidance,
                     const Grammar& grammar, const SamplingOptions& options, std::int32_t sequence,
                     Position position, TokenLaw& law, Correct&& correct) {
    if (const TokenId only = grammar.forced(position); only >= 0) {
      law.set_point(only);
      return;
    }
    guided_.resize(static_cast<std::size_t>(branches.columns));
    guide(branches, guidance, guided_, *kernel_);
    correct(std::span<float>{guided_});
    grammar.mask(position, guided_);
    try {
      builder_.build(guided_, options, law);
    } catch (const Error& error) {
      throw Error{error.code(),
                  std::string{error.what()} + emptied_by(error, branches, guidance) +
                      " (sequence " + std::to_string(sequence) + ", image position " +
                      std::to_string(position) + ")",
                  sequence, position};
    }
  }

 private:
  /// Says who left no token, once it has happened.
  template <class T>
  [[nodiscard]] const char* emptied_by(const Error& error, MatrixView<T> branches,
                                       std::span<const float> guidance) {
    if (error.code() != ErrorCode::empty_support) return "";
    guide(branches, guidance, guided_, *kernel_);
    const auto finite = [](float z) { return z > -std::numeric_limits<float>::infinity(); };
    return std::any_of(guided_.begin(), guided_.end(), finite)
               ? ", emptied by the grammar or the corrector"
               : ", emptied by the model's logits";
  }

  const KernelTable* kernel_;
  LawBuilder builder_;
  std::vector<float> guided_;  // [vocab]
};

}  // namespace sjd::cpu
