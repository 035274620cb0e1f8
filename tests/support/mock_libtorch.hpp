// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "sjd/model.hpp"
#include "support/table_law.hpp"

namespace sjd::test {

/// A batch as a tensor program wants it: one line a (sequence, branch), all of equal length, with
/// the number of live rows beside it.
struct PaddedBatch {
  std::int64_t lines = 0;
  std::int64_t rows = 0;
  std::int64_t dim = 0;
  std::vector<float> inputs;        // [lines, rows, dim], NaN where padded
  std::vector<std::int32_t> level;  // [lines, rows]
  std::vector<std::int64_t> live;   // [lines], rows that count
  std::vector<std::int64_t> past;   // [lines], cached rows in front of them
  std::vector<std::int64_t> line;   // [lines], line of the cache

  [[nodiscard]] std::span<const float> input(std::int64_t l, std::int64_t r) const {
    return {inputs.data() + (l * rows + r) * dim, static_cast<std::size_t>(dim)};
  }
};

/// A model with the manners of LibTorch code: padded [batch, rows, dim] inputs, one preallocated
/// cache tensor written in place, lengths instead of truncation.
class LibTorchHost {
 public:
  using Memory = HostMemory;
  using Prompt = TablePrompt;
  static constexpr std::int64_t branches = 4;
  static constexpr std::int64_t capacity = 256;

  explicit LibTorchHost(TableOptions options)
      : law_{options},
        cache_(static_cast<std::size_t>(options.sequences * branches * (capacity + 1)), poison) {}

  [[nodiscard]] std::int64_t vocab_size() const { return law_.options().vocab; }
  [[nodiscard]] std::int64_t max_sequences() const { return law_.options().sequences; }
  [[nodiscard]] MatrixView<const float> embedding_table() const { return law_.table(); }
  [[nodiscard]] NoiseContract noise_contract() const {
    const TableOptions& o = law_.options();
    return {.grid = o.grid,
            .rho_min = o.rho_min,
            .rho_max = o.rho_max,
            .posterior_mean = o.posterior_mean,
            .per_channel = o.per_channel};
  }

  void prefill(std::int32_t sequence, const Prompt& prompt, MatrixView<float> logits) {
    for (std::int64_t b = 0; b < logits.rows; ++b) {
      context(sequence * branches + b, 0) = law_.begin(prompt, b, logits.rows);
      law_.logits(context(sequence * branches + b, 0), logits.row(b));
    }
  }

  void forward(const ForwardPass<>& pass) {
    const PaddedBatch batch = gather(pass);
    const std::vector<float> logits = run(batch);
    std::size_t i = 0;
    for (std::int64_t l = 0; l < batch.lines; ++l) {
      for (std::int64_t r = 0; r < batch.live[static_cast<std::size_t>(l)]; ++r, ++i) {
        const auto from = logits.begin() + (l * batch.rows + r) * vocab_size();
        std::copy_n(from, vocab_size(), pass.logits.row(static_cast<std::int64_t>(i)).begin());
      }
    }
  }

 private:
  static constexpr std::uint64_t poison = 0xBADBADBADBADBADU;

  /// Row `length` of a cache line: the context behind that many image rows.
  std::uint64_t& context(std::int64_t line, std::int64_t length) {
    return cache_.at(static_cast<std::size_t>(line * (capacity + 1) + length));
  }

  PaddedBatch gather(const ForwardPass<>& pass) const {
    PaddedBatch batch;
    batch.dim = law_.options().dim;
    for (const KeepLength& keep : pass.keep_length) {
      std::int64_t count = 0;
      for (const InputRow& row : pass.rows) {
        count += row.sequence == keep.sequence && row.branch == keep.branch ? 1 : 0;
      }
      batch.live.push_back(count);
      batch.past.push_back(keep.length);
      batch.line.push_back(keep.sequence * branches + keep.branch);
      batch.rows = std::max(batch.rows, count);
      batch.lines += 1;
    }
    const auto cells = static_cast<std::size_t>(batch.lines * batch.rows);
    batch.inputs.assign(cells * static_cast<std::size_t>(batch.dim),
                        std::numeric_limits<float>::quiet_NaN());
    batch.level.assign(cells, -1);
    std::size_t i = 0;
    for (std::int64_t l = 0; l < batch.lines; ++l) {
      for (std::int64_t r = 0; r < batch.live[static_cast<std::size_t>(l)]; ++r, ++i) {
        const InputRow& row = pass.rows[i];
        const auto vector =
            row.level > 0 ? pass.embeddings.row(row.embedding) : law_.table().row(row.token);
        std::copy(vector.begin(), vector.end(),
                  batch.inputs.begin() + (l * batch.rows + r) * batch.dim);
        batch.level[static_cast<std::size_t>(l * batch.rows + r)] = row.level;
      }
    }
    return batch;
  }

  /// The network: logits [lines, rows, vocab] of a padded batch, cache rows written in place.
  std::vector<float> run(const PaddedBatch& batch) {
    std::vector<float> logits(static_cast<std::size_t>(batch.lines * batch.rows * vocab_size()));
    for (std::int64_t l = 0; l < batch.lines; ++l) {
      const auto at = static_cast<std::size_t>(l);
      for (std::int64_t r = 0; r < batch.rows; ++r) {
        const std::int64_t length = batch.past[at] + r;
        // Padded rows are computed like the others, in place, and poison the cache behind the end.
        const bool padded = r >= batch.live[at];
        const std::uint64_t before = context(batch.line[at], length);
        if (!padded && before == poison) throw std::logic_error{"a row behind a padded one"};
        std::uint64_t& after = context(batch.line[at], length + 1);
        after = padded ? poison : law_.extend(before, symbol(batch, l, r));
        law_.logits(after, {logits.data() + (l * batch.rows + r) * vocab_size(),
                            static_cast<std::size_t>(vocab_size())});
      }
    }
    return logits;
  }

  [[nodiscard]] Symbol symbol(const PaddedBatch& batch, std::int64_t l, std::int64_t r) const {
    const std::int32_t level = batch.level[static_cast<std::size_t>(l * batch.rows + r)];
    const std::span<const float> vector = batch.input(l, r);
    if (level > 0) return law_.noisy_symbol(level, vector);
    for (std::int64_t v = 0; v < vocab_size(); ++v) {
      const std::span<const float> row = law_.table().row(v);
      if (std::equal(row.begin(), row.end(), vector.begin())) return static_cast<Symbol>(v);
    }
    throw std::logic_error{"a clean row that is no token's embedding"};
  }

  TableLaw law_;
  std::vector<std::uint64_t> cache_;  // [sequences x branches, capacity + 1]
};

}  // namespace sjd::test
