// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/model.hpp"
#include "support/table_law.hpp"

namespace sjd::test {

/// An engine with the manners of llama.cpp: batches of embeddings only, every stream of a batch has
/// equally many rows, truncation may fail, logits cover text and image ids.
class LlamaCppLike {
 public:
  static constexpr std::int64_t first_image_id = 100;  ///< ids below are text

  explicit LlamaCppLike(const TableLaw& law) : law_{&law} {}

  [[nodiscard]] std::int64_t full_vocab() const { return first_image_id + law_->options().vocab; }

  void begin(std::int32_t stream, std::uint64_t context) { streams_[stream] = {context}; }

  /// Forgets the rows of a stream from `from` on; false, and nothing changed, if it cannot.
  bool memory_remove(std::int32_t stream, std::int64_t from) {
    if (removals_until_failure == 0) return false;
    if (removals_until_failure > 0) removals_until_failure -= 1;
    streams_.at(stream).resize(static_cast<std::size_t>(from) + 1);
    return true;
  }

  [[nodiscard]] std::int64_t memory_rows(std::int32_t stream) const {
    return static_cast<std::int64_t>(streams_.at(stream).size()) - 1;
  }

  struct BatchRow {
    std::int32_t stream = 0;
    std::int64_t position = 0;
    std::vector<float> embedding;  ///< [dim + 1], the last channel carries the noise level
  };

  /// Runs a batch and returns its logits [rows, full_vocab].
  std::vector<float> decode(const std::vector<BatchRow>& batch) {
    std::map<std::int32_t, std::int64_t> rows;
    for (const BatchRow& row : batch) rows[row.stream] += 1;
    for (const auto& [stream, count] : rows) {
      if (count != rows.begin()->second) throw std::logic_error{"streams of unequal length"};
    }
    std::vector<float> logits;
    for (const BatchRow& row : batch) {
      std::vector<std::uint64_t>& memory = streams_.at(row.stream);
      if (row.position + 1 != static_cast<std::int64_t>(memory.size())) {
        throw std::logic_error{"positions are not consecutive"};
      }
      memory.push_back(law_->extend(memory.back(), symbol_of(row.embedding)));
      append_logits(memory.back(), logits);
    }
    return logits;
  }

  std::vector<float> prompt_logits(std::int32_t stream) const {
    std::vector<float> logits;
    append_logits(streams_.at(stream).back(), logits);
    return logits;
  }

  std::int64_t removals_until_failure = -1;  ///< -1: removal never fails

 private:
  /// The network of the mock: a clean embedding is a row of the table, level 0.
  [[nodiscard]] Symbol symbol_of(const std::vector<float>& embedding) const {
    const auto dim = static_cast<std::size_t>(law_->options().dim);
    const auto level = static_cast<std::int32_t>(embedding[dim]);
    const std::span<const float> vector{embedding.data(), dim};
    if (level > 0) return law_->noisy_symbol(level, vector);
    for (std::int64_t v = 0; v < law_->options().vocab; ++v) {
      const std::span<const float> row = law_->table().row(v);
      if (std::equal(row.begin(), row.end(), vector.begin())) return static_cast<Symbol>(v);
    }
    throw std::logic_error{"a clean row that is no token's embedding"};
  }

  void append_logits(std::uint64_t context, std::vector<float>& logits) const {
    const std::size_t at = logits.size();
    // Text ids are the likeliest of all: whoever forgets to map the vocabulary will notice.
    logits.resize(at + static_cast<std::size_t>(full_vocab()), 1000.0F);
    law_->logits(context, {logits.data() + at + first_image_id,
                           static_cast<std::size_t>(law_->options().vocab)});
  }

  const TableLaw* law_;
  std::map<std::int32_t, std::vector<std::uint64_t>> streams_;  // contexts; [0] is the prompt's
};

/// How such an engine becomes a model: the adapter that a llama.cpp user would write.
class LlamaCppHost {
 public:
  using Memory = HostMemory;
  using Prompt = TablePrompt;

  explicit LlamaCppHost(TableOptions options) : law_{options}, engine{law_} {}
  LlamaCppHost(const LlamaCppHost&) = delete;
  LlamaCppHost& operator=(const LlamaCppHost&) = delete;

  [[nodiscard]] std::int64_t vocab_size() const { return law_.options().vocab; }
  [[nodiscard]] std::int64_t max_sequences() const { return law_.options().sequences; }
  [[nodiscard]] MatrixView<const float> embedding_table() const { return law_.table(); }
  [[nodiscard]] NoiseContract noise_contract() const { return contract_of(law_.options()); }

  void prefill(std::int32_t sequence, const Prompt& prompt, MatrixView<float> logits) {
    for (std::int32_t b = 0; b < logits.rows; ++b) {
      engine.begin(stream(sequence, b), law_.begin(prompt, b, logits.rows));
      copy_image_part(engine.prompt_logits(stream(sequence, b)), 0, logits.row(b));
    }
  }

  void forward(const ForwardPass<>& pass) {
    truncate(pass.keep_length);
    std::vector<LlamaCppLike::BatchRow> batch;
    std::vector<std::int64_t> row_of_batch;  // row of the pass, -1 for padding
    const std::int64_t longest = longest_stream(pass.rows);
    for (std::size_t i = 0; i < pass.rows.size(); ++i) {
      const InputRow& row = pass.rows[i];
      batch.push_back({stream(row.sequence, row.branch), row.position, embed(pass, row)});
      row_of_batch.push_back(static_cast<std::int64_t>(i));
      const bool last = i + 1 == pass.rows.size() || pass.rows[i + 1].branch != row.branch ||
                        pass.rows[i + 1].sequence != row.sequence;
      if (last) pad(longest, batch, row_of_batch);
    }
    const std::vector<float> logits = engine.decode(batch);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (row_of_batch[i] >= 0) {
        copy_image_part(logits, static_cast<std::int64_t>(i), pass.logits.row(row_of_batch[i]));
      }
    }
  }

  static NoiseContract contract_of(const TableOptions& o) {
    return {.grid = o.grid,
            .rho_min = o.rho_min,
            .rho_max = o.rho_max,
            .posterior_mean = o.posterior_mean,
            .per_channel = o.per_channel};
  }

 private:
  TableLaw law_;

 public:
  LlamaCppLike engine;
  std::int64_t padded_rows = 0;

 private:
  static std::int32_t stream(std::int32_t sequence, std::int32_t branch) {
    return sequence * 8 + branch;
  }

  /// Nothing has changed if the first removal fails; a later one leaves caches that are longer than
  /// the next pass asks for, which is no harm: it truncates again.
  void truncate(std::span<const KeepLength> keep_length) {
    for (const KeepLength& keep : keep_length) {
      if (!engine.memory_remove(stream(keep.sequence, keep.branch), keep.length)) {
        throw Error{ErrorCode::contract, "llama.cpp: this cache cannot be truncated",
                    keep.sequence};
      }
    }
  }

  static std::int64_t longest_stream(std::span<const InputRow> rows) {
    std::map<std::int32_t, std::int64_t> counts;
    std::int64_t longest = 0;
    for (const InputRow& row : rows) {
      longest = std::max(longest, ++counts[stream(row.sequence, row.branch)]);
    }
    return longest;
  }

  /// Repeats the last row of the stream until it has `longest` rows; the next truncation takes the
  /// repetitions away.
  void pad(std::int64_t longest, std::vector<LlamaCppLike::BatchRow>& batch,
           std::vector<std::int64_t>& row_of_batch) {
    std::int64_t count = 0;
    for (const auto& row : batch) count += row.stream == batch.back().stream ? 1 : 0;
    for (; count < longest; ++count) {
      LlamaCppLike::BatchRow row = batch.back();
      row.position += 1;
      batch.push_back(std::move(row));
      row_of_batch.push_back(-1);
      padded_rows += 1;
    }
  }

  std::vector<float> embed(const ForwardPass<>& pass, const InputRow& row) const {
    const std::span<const float> vector =
        row.level > 0 ? pass.embeddings.row(row.embedding) : law_.table().row(row.token);
    std::vector<float> embedding(vector.begin(), vector.end());
    embedding.push_back(static_cast<float>(row.level));
    return embedding;
  }

  void copy_image_part(const std::vector<float>& full, std::int64_t row,
                       std::span<float> image) const {
    const std::int64_t begin = row * engine.full_vocab() + LlamaCppLike::first_image_id;
    std::copy_n(full.begin() + begin, image.size(), image.begin());
  }
};

}  // namespace sjd::test
