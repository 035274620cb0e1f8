// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sjd/cuda/batch_image.hpp"
#include "sjd/cuda/statistics.hpp"
#include "sjd/cuda/step.hpp"

/// The host arrays of kernel tests, apart from the decoder: device code includes this too.
namespace sjd::test {

enum class LogitType : std::uint8_t { fp32, bf16, fp16 };

/// The host arrays of one launch; a runner fills the laws.
struct RowsBatch {
  LogitType type = LogitType::fp32;
  std::int64_t vocab = 0;
  std::int64_t stride = 0;
  std::int64_t logit_rows = 0;
  std::vector<float> logits;                // [logit_rows, stride], what the bits below stand for
  std::vector<std::uint16_t> short_logits;  // the same as bf16 or fp16
  std::vector<cuda::RowTask> tasks;
  std::vector<cuda::SequenceSettings> settings;
  std::vector<std::vector<float>> scales;  // [sequences][branches - 1]
  std::vector<std::uint64_t> seeds;        // [sequences]
  cuda::GrammarLines grammar;
  cuda::DrawKind draw = cuda::DrawKind::categorical;
  std::int64_t capacity = 0;

  std::vector<cuda::LawHead> heads;   // [tasks]
  std::vector<TokenId> ids;           // [tasks, capacity]
  std::vector<std::uint32_t> masses;  // [tasks, capacity]
};

/// Fills in what a runner shares: `logits` and all others where the kernel reads them.
template <class Logit>
cuda::RowsArguments<Logit> rows_arguments(const RowsBatch& batch, const Logit* logits) {
  cuda::RowsArguments<Logit> arguments;
  arguments.logits = {logits, batch.logit_rows, batch.vocab, batch.stride};
  arguments.task_count = std::ssize(batch.tasks);
  arguments.draw = batch.draw;
  return arguments;
}

/// All that a library step reads and writes, in host memory.
struct DecodeArrays {
  DecodeArrays(const cuda::BatchShape& shape, std::int64_t rows, std::int64_t vocab,
               const KarrasSchedule& noise)
      : image{shape},
        logits(static_cast<std::size_t>(shape.sequences * shape.most_branches * rows * vocab)),
        weights(static_cast<std::size_t>(shape.sequences * rows * vocab)),
        embeddings(static_cast<std::size_t>(shape.sequences * rows * shape.dim)),
        input(static_cast<std::size_t>(shape.sequences * shape.most_branches * rows)),
        tasks(static_cast<std::size_t>(shape.sequences * rows)),
        verdicts(static_cast<std::size_t>(shape.sequences)),
        keys(static_cast<std::size_t>(shape.sequences * rows * vocab)),
        lines{noise} {}

  cuda::BatchImage image;
  cuda::GrammarLines grammar;
  std::vector<float> logits;            // [sequences, branches, rows, vocab]
  std::vector<float> weights;           // [sequences x rows, vocab], of the posterior
  std::vector<float> embeddings;        // [sequences x rows, dim]
  std::vector<InputRow> input;          // [sequences, branches, rows]
  std::vector<cuda::RowTask> tasks;     // [sequences, rows]
  std::vector<cuda::Verdict> verdicts;  // [sequences]
  std::vector<std::uint32_t> keys;      // [sequences x rows, vocab], of a redraw without clusters
  std::vector<float> hidden{};          // [sequences, branches, rows, hidden_dim], or empty
  cuda::NoiseLines lines;
};

/// The embedding space as kernels take it.
struct EmbeddingTables {
  bool posterior = false;            // PosteriorMean, else RawNoise
  std::vector<float> clean{};        // [vocab, dim], normalised
  std::vector<float> mean{};         // [dim]
  std::vector<float> scale{};        // [dim]
  std::vector<float> scores{};       // [dim, vocab], `clean` turned round
  std::vector<float> half_square{};  // [padded vocab]
  std::vector<float> log_prior{};    // [padded vocab]
  std::vector<float> embeddings{};   // [vocab, dim], of the host
};

/// The arrays of one statistics run.
struct StatisticsArrays {
  std::int64_t vocab = 0;
  std::int64_t dim = 0;
  bool per_channel = true;
  std::vector<float> table{};       // [vocab, dim]
  std::vector<float> normalized{};  // [vocab, dim]
  std::vector<float> mean{};        // [dim]
  std::vector<float> scale{};       // [dim]
  std::vector<Moments> rows{};      // [vocab]
};

}  // namespace sjd::test
