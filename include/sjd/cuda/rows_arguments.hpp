// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/core/draw.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/core/sampling.hpp"
#include "sjd/cuda/grammar_table.hpp"
#include "sjd/cuda/laws.hpp"

namespace sjd::cuda {

/// What one sequence asked for.
struct SequenceSettings {
  std::uint64_t key = 0;  ///< mix_key(seed, sample)
  SamplingOptions sampling{};
  std::int32_t branches = 1;
  const float* scales = nullptr;  ///< [branches - 1], guidance
};

/// One row of a pass on its way to a law.
struct RowTask {
  std::int32_t sequence = -1;    ///< of SequenceSettings; < 0: there is no row
  Position position = 0;         ///< of the token that the law is about
  std::int64_t iteration = 0;    ///< of the draw
  std::int64_t logits = 0;       ///< row of branch 0
  std::int64_t branch_step = 0;  ///< rows from a branch to the next
  std::int64_t law = 0;          ///< place in the LawTable
};

/// How a token is drawn from each law.
enum class DrawKind : std::uint8_t {
  categorical,  ///< PhiloxGate::categorical with RowsArguments::purpose
  quantile,     ///< PhiloxGate::quantile
  gumbel,       ///< PhiloxGate::gumbel
  mode,         ///< TokenLaw::mode
};

/// One slice of a row between two launches.
struct RowPart {
  std::uint32_t top = 0;  ///< largest ordered key
  std::uint32_t bad = 0;  ///< first token that is NaN or +Inf, or detail::no_token
};

/// Memory of a split plan.
///
/// shapes  keys [tasks, vocab] ordered keys of the guided logits; parts [tasks, RowsPlan::slices]
struct RowsWorkspace {
  std::uint32_t* keys = nullptr;
  RowPart* parts = nullptr;
};

/// What the rows kernel works on.
///
/// shapes  logits [rows, vocab] as Logit (float, Bf16 or Fp16), row stride in elements;
///         tasks [task_count]; settings [sequences]; laws: a place for every task
template <class Logit>
struct RowsArguments {
  MatrixView<const Logit, DeviceMemory> logits;
  const RowTask* tasks = nullptr;
  std::int64_t task_count = 0;
  const SequenceSettings* settings = nullptr;
  GrammarTable grammar{};
  LawTable laws{};
  DrawKind draw = DrawKind::categorical;
  Purpose purpose = Purpose::refresh;
  RowsWorkspace workspace{};

  // Written by the launch out of the plan.
  std::int64_t slice = 0;  // logits of a block
  std::int64_t part = 0;   // logits of a block in the first of two launches
  std::int64_t parts = 1;  // such blocks a row
  bool aligned = false;    // four neighbours may be loaded at once
};

}  // namespace sjd::cuda
