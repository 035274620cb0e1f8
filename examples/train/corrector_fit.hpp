// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "corrector_kernels.hpp"
#include "corrector_trace.hpp"
#include "safetensors_io.hpp"

namespace sjd::train {

/// Sizes of a corrector head; see docs/checkpoint.md.
struct CorrectorShape {
  std::int64_t hidden_dim = 0;
  std::int64_t vocab = 0;
  std::int64_t width = 256;
  std::int64_t distances = 32;
  std::vector<std::int32_t> neighbours;

  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(neighbours.size()); }
  [[nodiscard]] std::int64_t before_begin() const { return count() * (vocab + 1); }
  [[nodiscard]] std::int64_t changed_begin() const { return 2 * before_begin(); }
  [[nodiscard]] std::int64_t distance_begin() const { return changed_begin() + count(); }
  [[nodiscard]] std::int64_t table_rows() const { return distance_begin() + distances; }
  /// Table rows that one example adds up at most.
  [[nodiscard]] std::int64_t rows_per_example() const { return 3 * count() + 1; }
  /// Columns of the projection of embeddings: now and before of every neighbour.
  [[nodiscard]] std::int64_t looked_up() const { return 2 * count() * hidden_dim; }
};

/// What keeps a head from learning its training pictures by heart.
struct CorrectorRegularization {
  float dropout = 0.0F;  ///< of the last inner layer
  float decay = 0.01F;   ///< of the matrices
  bool lookup = true;    ///< tokens share what they learn through their embeddings
  bool sampled = false;  ///< learn from one token drawn from the law, not from the law itself
};

/// How well a head, and no head, guess the law of the next pass: mean total variation by distance.
struct CorrectorScore {
  std::vector<double> with;     // [distance], index 0 = all distances, weighted as in training
  std::vector<double> without;  // [distance]
  std::vector<std::int64_t> rows;
};

/// What a second candidate for one slot could add, measured on traces and not decoded.
struct SecondCandidate {
  double first = 0.0;   ///< share of rows whose draft is accepted
  double second = 0.0;  ///< of the others, share whose second, different draft is accepted
  std::int64_t rows = 0;
};

/// A corrector head in training: weights, their Adam state, and one step on a batch of traces.
class CorrectorFit {
 public:
  CorrectorFit(CorrectorShape shape, CorrectorRegularization regularization, std::int64_t batch);

  /// Tokens are looked up in tables and, through a projection that is folded into them on export,
  /// by their embeddings [vocab, hidden_dim]: a rare token then learns from those like it.
  void use_embeddings(MatrixView<const float> table);
  /// Random weights; the output starts at zero, so that the head begins by changing nothing.
  void initialize(std::uint64_t seed, const CorrectorTraces& traces);
  void load(const TensorMap& tensors);
  /// The tensors of corrector.safetensors.
  [[nodiscard]] TensorMap tensors() const;

  /// One step of AdamW on `chosen` rows (batch of them); returns their mean total variation.
  double step(const CorrectorTraces& traces, std::span<const std::int64_t> chosen, float rate);

  [[nodiscard]] CorrectorScore score(const CorrectorTraces& traces, std::int64_t most_rows);

  /// A draft from the head's law r, judged by the target p; after its rejection a second one from r
  /// without the first, judged by the residual (p - r)+ (SpecInfer, arXiv 2305.09781, with siblings
  /// that differ). Costs vocab^2 a row.
  [[nodiscard]] SecondCandidate second_candidate(const CorrectorTraces& traces,
                                                 std::int64_t distance, std::int64_t most_rows);

  /// Weight of a slot in the loss: the first slots decide whether the rest is reached.
  [[nodiscard]] static float slot_weight(std::int64_t distance);

 private:
  /// A matrix with its Adam state and its bf16 copy.
  struct Matrix {
    std::int64_t rows = 0;
    std::int64_t columns = 0;
    std::vector<float> weight;
    std::vector<float> first;
    std::vector<float> second;
    std::vector<Bf16> rounded;

    Matrix(std::int64_t row_count, std::int64_t column_count);
    void refresh();
  };

  void gather(const CorrectorTraces& traces, std::span<const std::int64_t> chosen);
  void gather_embeddings(std::int64_t examples);
  void forward(std::int64_t examples, Dropout dropout);
  double losses(const CorrectorTraces& traces, std::span<const std::int64_t> chosen);
  [[nodiscard]] const Bf16* draw_target(const Bf16* law, std::size_t example);
  void backward(std::int64_t examples, Dropout dropout);
  void update_table(const AdamStep& adam, std::int64_t examples);
  [[nodiscard]] std::vector<float> folded_tables() const;
  void add_score(const CorrectorTraces& traces, std::span<const std::int64_t> chosen,
                 CorrectorScore& score, double& total);
  [[nodiscard]] torch::Tensor view(std::vector<Bf16>& values, std::int64_t rows,
                                   std::int64_t columns) const;

  CorrectorShape shape_;
  CorrectorRegularization regularization_;
  std::int64_t batch_;
  std::int64_t steps_ = 0;
  Matrix input_;
  Matrix inner_;
  Matrix projection_;  // [width, looked_up]
  Matrix output_;
  Matrix table_;             // [table_rows, width]; one optimizer step a row that was used
  std::vector<float> bias_;  // [width]
  std::vector<float> bias_first_;
  std::vector<float> bias_second_;
  std::vector<float> bias_gradient_;
  std::vector<float> table_gradient_;
  std::vector<std::int32_t> last_used_;  // [table_rows], step of the last update
  std::vector<std::int32_t> rows_;       // [batch, rows_per_example]
  std::vector<Bf16> embedding_;          // [vocab + 1, hidden_dim], normalised; the last row is 0
  std::vector<Bf16> looked_up_;          // [batch, looked_up]
  std::vector<Bf16> hidden_;             // [batch, 2 hidden_dim]
  std::vector<Bf16> x_;                  // [batch, width]
  std::vector<Bf16> y_;                  // [batch, width]
  std::vector<Bf16> change_;             // [batch, vocab], then its gradient
  std::vector<Bf16> dinner_;             // [batch, width]
  std::vector<Bf16> dsum_;               // [batch, width]
  std::vector<float> u_;                 // [batch, width]
  std::vector<float> v_;                 // [batch, width]
  std::vector<float> scratch_;           // [vocab]
  std::vector<Bf16> one_hot_;            // [vocab]
};

}  // namespace sjd::train
