// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

#include "sjd/core/error.hpp"
#include "sjd/model.hpp"
#include "support/allocation_meter.hpp"
#include "support/table_host.hpp"

namespace sjd::test {

/// What a host may do wrong.
enum class Fault : std::uint8_t {
  throws_before,   ///< an exception of its own before it changed anything
  throws_after,    ///< the same behind a finished pass: its caches have grown
  bad_alloc,       ///< std::bad_alloc
  typed_error,     ///< an sjd::Error of its own
  reenters,        ///< calls the decoder that is calling it
  vocab_changes,   ///< vocab_size() is another number than before
  nan,             ///< one logit
  plus_infinity,   ///< one logit
  minus_infinity,  ///< a whole row, in every branch
  row_unwritten,   ///< a row of logits left as it was
  row_cut,         ///< the last logit of a row left as it was
  hidden_changes,  ///< hidden_dim() is another number than before
  hidden_nan,      ///< a hidden row
  hidden_unwritten,
};

inline constexpr std::array model_faults{
    Fault::throws_before,  Fault::throws_after,  Fault::bad_alloc, Fault::typed_error,
    Fault::reenters,       Fault::vocab_changes, Fault::nan,       Fault::plus_infinity,
    Fault::minus_infinity, Fault::row_unwritten, Fault::row_cut};
inline constexpr std::array hidden_faults{Fault::hidden_changes, Fault::hidden_nan,
                                          Fault::hidden_unwritten};

/// The table host with one fault at call `fault_at` (prefills and passes, from 0). It also lends
/// hidden rows, and its own memory does not count.
class FaultyHost {
 public:
  using Memory = HostMemory;
  using Prompt = TablePrompt;
  static constexpr std::int64_t hidden_columns = 3;

  explicit FaultyHost(TableOptions options) : inner{options} {}

  [[nodiscard]] std::int64_t vocab_size() const {
    return inner.vocab_size() + (due(Fault::vocab_changes) ? 1 : 0);
  }
  [[nodiscard]] std::int64_t hidden_dim() const {
    return hidden_columns + (due(Fault::hidden_changes) ? 1 : 0);
  }
  [[nodiscard]] std::int64_t max_sequences() const { return inner.max_sequences(); }
  [[nodiscard]] MatrixView<const float> embedding_table() const { return inner.embedding_table(); }
  [[nodiscard]] NoiseContract noise_contract() const { return inner.noise_contract(); }

  void prefill(std::int32_t sequence, const Prompt& prompt, MatrixView<float> logits) {
    const Counting pause{false};
    before();
    const std::int64_t row = static_cast<std::int64_t>(calls) % logits.rows;
    const Saved saved{logits, row};
    inner.prefill(sequence, prompt, logits);
    spoil(logits, {0, logits.rows, 1}, row, saved);
    hit_sequence = sequence;
    hit_position = 0;
    after();
  }

  void forward(const ForwardPass<>& pass) {
    const Counting pause{false};
    before();
    const auto count = static_cast<std::int64_t>(pass.rows.size());
    const std::int64_t row = 7 * calls % count;
    const Saved saved{pass.logits, row};
    inner.forward(pass);
    lend_hidden(pass, row);
    spoil(pass.logits, same_position(pass, row), row, saved);
    hit_sequence = pass.rows[static_cast<std::size_t>(row)].sequence;
    hit_position = pass.rows[static_cast<std::size_t>(row)].position + 1;
    after();
  }

  TableHost inner;
  Fault fault = Fault::throws_before;
  std::int64_t fault_at = -1;
  std::int64_t calls = 0;
  std::int32_t hit_sequence = -1;  ///< whom the fault of the last call hit
  Position hit_position = -1;
  std::function<void()> reenter;  ///< calls the decoder

 private:
  /// First and last logit of a row as the library handed it over.
  struct Saved {
    Saved(MatrixView<float> logits, std::int64_t row)
        : first{logits.row(row).front()}, last{logits.row(row).back()} {}
    float first;
    float last;
  };
  /// Rows first, first + step, ... below end.
  struct Rows {
    std::int64_t first;
    std::int64_t end;
    std::int64_t step;
  };

  [[nodiscard]] bool due(Fault which) const { return fault == which && calls == fault_at; }

  void before() {
    if (due(Fault::throws_before)) throw std::runtime_error{"injected"};
    if (due(Fault::bad_alloc)) throw std::bad_alloc{};
    if (due(Fault::typed_error)) throw Error{ErrorCode::io, "injected"};
    if (due(Fault::reenters)) reenter();
  }
  void after() {
    if (due(Fault::throws_after)) throw std::runtime_error{"injected"};
    calls += 1;
  }

  /// The rows of one sequence and position in all branches.
  static Rows same_position(const ForwardPass<>& pass, std::int64_t row) {
    const InputRow& hit = pass.rows[static_cast<std::size_t>(row)];
    Rows rows{-1, 0, 1};
    for (std::size_t i = 0; i < pass.rows.size(); ++i) {
      if (pass.rows[i].sequence != hit.sequence || pass.rows[i].position != hit.position) continue;
      const auto at = static_cast<std::int64_t>(i);
      if (rows.first < 0) {
        rows = {at, at + 1, 1};
      } else {
        if (rows.end == rows.first + 1) rows.step = at - rows.first;
        rows.end = at + 1;
      }
    }
    return rows;
  }

  void spoil(MatrixView<float> logits, Rows position, std::int64_t row, const Saved& saved) {
    const std::array<std::int64_t, 3> lanes{0, logits.columns / 2, logits.columns - 1};
    const auto lane = static_cast<std::size_t>(lanes[static_cast<std::size_t>(calls % 3)]);
    const std::span<float> hit = logits.row(row);
    if (due(Fault::nan)) hit[lane] = std::numeric_limits<float>::quiet_NaN();
    if (due(Fault::plus_infinity)) hit[lane] = std::numeric_limits<float>::infinity();
    if (due(Fault::minus_infinity)) {
      for (std::int64_t i = position.first; i < position.end; i += position.step) {
        for (float& z : logits.row(i)) z = -std::numeric_limits<float>::infinity();
      }
    }
    if (due(Fault::row_unwritten)) hit.front() = saved.first;
    if (due(Fault::row_unwritten) || due(Fault::row_cut)) hit.back() = saved.last;
  }

  /// Any function of the row's own past will do.
  void lend_hidden(const ForwardPass<>& pass, std::int64_t hit) {
    if (pass.hidden.data == nullptr) return;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(pass.rows.size()); ++i) {
      if (i == hit && due(Fault::hidden_unwritten)) continue;
      const std::span<const float> logits = pass.logits.row(i);
      const std::span<float> hidden = pass.hidden.row(i);
      for (std::size_t d = 0; d < hidden.size(); ++d) hidden[d] = logits[d] - logits[d + 1];
      if (i == hit && due(Fault::hidden_nan)) {
        hidden.front() = std::numeric_limits<float>::quiet_NaN();
      }
    }
  }
};

static_assert(NoisyModel<FaultyHost> && HiddenModel<FaultyHost>);

}  // namespace sjd::test
