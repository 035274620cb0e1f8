// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>

#include "sjd/core/matrix_view.hpp"
#include "sjd/model.hpp"

/// How a model is called whose inputs never leave the device.
namespace sjd::cuda {

/// One pass of a model whose inputs the window kernel wrote; every extent is fixed, what is live is
/// said by the rows themselves.
///
/// shapes  input [sequences, branches, rows]; a row with sequence < 0 is not there: the model
///         leaves its caches alone, and nobody reads its outputs. embeddings [sequences x rows,
///         dim], row InputRow::embedding of it is fed at level > 0; null without noise. logits
///         [sequences x branches x rows, vocab] and hidden [sequences x branches x rows,
///         hidden_dim]: the row of the same index as in input; hidden may be null
/// order   the live rows of one (sequence, branch) come first and have consecutive positions. The
///         first position says how many rows of that cache stay: the model forgets everything at
///         and behind it
/// memory  all pointers in the launcher's memory
template <class Logit = float>
struct DevicePass {
  std::int64_t sequences = 0;
  std::int64_t branches = 0;
  std::int64_t rows = 0;  ///< of one sequence and branch, the tip included
  const InputRow* input = nullptr;
  const float* embeddings = nullptr;
  MatrixView<Logit, DeviceMemory> logits{};
  float* hidden = nullptr;
};

/// A model that a graph can hold. The values of a pass do not change from call to call, what its
/// pointers lead to does; so `enqueue` may look at the values and at nothing behind them.
///
/// - `vocab_size()`: columns of the logits
/// - `enqueue(launcher, pass)`: starts the work of one pass on the launcher's stream; never waits,
///   never allocates, and uses no other stream
template <class M, class Launcher, class Logit = float>
concept DeviceModel = requires(M& model, Launcher& launcher, const DevicePass<Logit>& pass) {
  { model.vocab_size() } -> std::convertible_to<std::int64_t>;
  model.enqueue(launcher, pass);
};

}  // namespace sjd::cuda
