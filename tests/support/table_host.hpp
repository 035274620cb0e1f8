// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "sjd/model.hpp"
#include "support/table_law.hpp"

namespace sjd::test {

/// The KV cache of one (sequence, branch): contexts[i] ends behind image position i. Rows behind the
/// live length hold poison, so that reading one would give another law.
struct TableCache {
  std::uint64_t begin = 0;
  std::vector<std::uint64_t> contexts;
  std::vector<Symbol> symbols;
  std::int64_t length = -1;  ///< -1: no prompt has run

  /// Cuts off everything behind `rows`, for comparisons.
  void settle(std::int64_t rows) {
    length = rows;
    contexts.resize(static_cast<std::size_t>(rows));
    symbols.resize(static_cast<std::size_t>(rows));
  }

  friend bool operator==(const TableCache&, const TableCache&) = default;
};

/// Reference host of the tests: the table law behind a strict KV cache.
///
/// It checks every word of the ForwardPass contract and throws std::logic_error where the library
/// breaks it.
class TableHost {
 public:
  using Memory = HostMemory;
  using Prompt = TablePrompt;

  explicit TableHost(TableOptions options)
      : law_{options}, caches(static_cast<std::size_t>(options.sequences)) {}

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
  [[nodiscard]] const TableLaw& law() const { return law_; }

  void prefill(std::int32_t sequence, const Prompt& prompt, MatrixView<float> logits) {
    before_call();
    std::vector<TableCache>& branches = caches.at(static_cast<std::size_t>(sequence));
    branches.assign(static_cast<std::size_t>(logits.rows), {});
    for (std::int64_t b = 0; b < logits.rows; ++b) {
      TableCache& cache = branches[static_cast<std::size_t>(b)];
      cache.begin = law_.begin(prompt, b, logits.rows);
      cache.length = 0;
      law_.logits(cache.begin, logits.row(b));
    }
    if (spoil) spoil(logits);
  }

  void forward(const ForwardPass<>& pass) {
    before_call();
    check(pass);
    for (const KeepLength& keep : pass.keep_length) truncate(keep);
    for (std::size_t i = 0; i < pass.rows.size(); ++i) {
      feed(pass, pass.rows[i], pass.logits.row(static_cast<std::int64_t>(i)));
    }
    if (spoil) spoil(pass.logits);
    rows_run += static_cast<std::int64_t>(pass.rows.size());
  }

 private:
  TableLaw law_;

 public:
  std::vector<std::vector<TableCache>> caches;  // [sequences][branches]
  std::int64_t calls = 0;                       // prefills and forward passes so far
  std::int64_t rows_run = 0;
  std::int64_t fail_at_call = -1;  // this call throws before anything changed
  bool keep_noisy_rows = false;    // a broken host: a row that was noisy stays noisy in the cache
  std::function<void(MatrixView<float>)> spoil;  // changes the logits of a pass behind its back

 private:
  static void require(bool condition, const char* text) {
    if (!condition) throw std::logic_error{std::string{"contract broken by the library: "} + text};
  }

  void before_call() {
    if (calls++ == fail_at_call) throw std::runtime_error{"injected host failure"};
  }

  TableCache& cache_of(std::int32_t sequence, std::int32_t branch) {
    return caches.at(static_cast<std::size_t>(sequence)).at(static_cast<std::size_t>(branch));
  }

  /// Every rule of ForwardPass, before anything changes.
  void check(const ForwardPass<>& pass) {
    require(!pass.rows.empty(), "an empty pass");
    require(pass.logits.rows >= static_cast<std::int64_t>(pass.rows.size()), "logits too short");
    require(pass.logits.columns == vocab_size(), "logits of another width");
    std::size_t next = 0;
    for (const KeepLength& keep : pass.keep_length) {
      const TableCache& cache = cache_of(keep.sequence, keep.branch);
      require(cache.length >= 0, "a pass before its prefill");
      require(keep.length >= 0 && keep.length <= cache.length, "keep_length beyond the cache");
      Position position = keep.length;
      const std::size_t first = next;
      while (next < pass.rows.size() && pass.rows[next].sequence == keep.sequence &&
             pass.rows[next].branch == keep.branch) {
        require(pass.rows[next].position == position++, "positions are not consecutive");
        check_input(pass, pass.rows[next++]);
      }
      require(next > first, "a keep_length without rows, or rows out of order");
      require(pass.rows[first].level == 0, "the tip is not clean");
    }
    require(next == pass.rows.size(), "rows without a keep_length, or out of order");
  }

  void check_input(const ForwardPass<>& pass, const InputRow& row) const {
    if (row.level == 0) {
      require(row.embedding == -1, "a clean row with an embedding");
      require(row.token >= 0 && row.token < vocab_size(), "a token outside the vocabulary");
      return;
    }
    require(row.level >= 1 && row.level <= law_.options().grid + 1, "a level outside the grid");
    require(row.embedding >= 0 && row.embedding < pass.embeddings.rows, "a missing embedding");
    require(pass.embeddings.columns == law_.options().dim, "embeddings of another width");
  }

  void truncate(const KeepLength& keep) {
    TableCache& cache = cache_of(keep.sequence, keep.branch);
    for (auto i = static_cast<std::size_t>(keep.length); i < cache.contexts.size(); ++i) {
      cache.contexts[i] = 0xDEADDEADDEADDEADU;
      if (!keep_noisy_rows) cache.symbols[i] = std::numeric_limits<Symbol>::max();
    }
    cache.length = keep.length;
  }

  void feed(const ForwardPass<>& pass, const InputRow& row, std::span<float> logits) {
    TableCache& cache = cache_of(row.sequence, row.branch);
    const auto at = static_cast<std::size_t>(cache.length);
    Symbol symbol = static_cast<Symbol>(row.token);
    if (row.level > 0) symbol = law_.noisy_symbol(row.level, pass.embeddings.row(row.embedding));
    if (keep_noisy_rows && at < cache.symbols.size() && is_noisy(cache.symbols[at])) {
      symbol = cache.symbols[at];
    }
    const std::uint64_t before = at == 0 ? cache.begin : cache.contexts[at - 1];
    if (at == cache.contexts.size()) {
      cache.contexts.push_back(0);
      cache.symbols.push_back(0);
    }
    cache.contexts[at] = law_.extend(before, symbol);
    cache.symbols[at] = symbol;
    cache.length += 1;
    law_.logits(cache.contexts[at], logits);
  }

  [[nodiscard]] bool is_noisy(Symbol symbol) const {
    return symbol >= static_cast<Symbol>(vocab_size());
  }
};

}  // namespace sjd::test
