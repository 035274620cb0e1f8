// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/detail/ragged_batch.hpp"
#include "sjd/model.hpp"
#include "sjd/state.hpp"
#include "sjd/types.hpp"

namespace sjd::detail {

/// What a state must fit into.
struct StateBounds {
  std::int64_t sequences = 0;  ///< model.max_sequences()
  std::int64_t vocab = 0;
  std::int64_t dim = 0;     ///< columns of the embedding table; 0 without noise
  std::int32_t levels = 0;  ///< decoding levels; 0 without noise
  std::int64_t drafts = 0;  ///< slots of the widest window
};

/// Throws unless the model's sizes are sizes.
///
/// errors  contract
inline void check_sizes(std::int64_t vocab, std::int64_t hidden_dim) {
  expects(vocab >= 1 && vocab <= std::numeric_limits<TokenId>::max(), ErrorCode::contract,
          "model.vocab_size() must be in 1 .. 2^31 - 1");
  expects(hidden_dim >= 1, ErrorCode::contract, "model.hidden_dim() must be at least 1");
}

/// Throws unless the embedding table and its statistics can carry noise.
///
/// errors  contract
inline void check_noise_numbers(MatrixView<const float> table, const NoiseContract& contract,
                                std::int64_t vocab) {
  expects(table.data != nullptr && table.rows == vocab && table.columns >= 1 &&
              table.stride >= table.columns,
          ErrorCode::contract, "model.embedding_table() is not [vocab_size, dim]");
  const auto finite = [](float x) { return std::isfinite(x); };
  for (std::int64_t v = 0; v < vocab; ++v) {
    const std::span<const float> row = table.row(v);
    if (std::all_of(row.begin(), row.end(), finite)) continue;
    throw Error{ErrorCode::contract, "model.embedding_table(): token " + std::to_string(v) +
                                         " holds a value that is not finite"};
  }
  const auto positive = [](float x) { return std::isfinite(x) && x > 0.0F; };
  expects(std::all_of(contract.mean.begin(), contract.mean.end(), finite) &&
              std::all_of(contract.scale.begin(), contract.scale.end(), positive),
          ErrorCode::contract, "noise_contract: mean must be finite, scale finite and positive");
  const auto log_mass = [](float x) { return x < std::numeric_limits<float>::infinity(); };
  expects(std::all_of(contract.log_prior.begin(), contract.log_prior.end(), log_mass) &&
              (contract.log_prior.empty() ||
               std::any_of(contract.log_prior.begin(), contract.log_prior.end(), finite)),
          ErrorCode::contract,
          "noise_contract: log_prior must hold no NaN and no +Inf, and one finite value");
}

/// What is wrong with a slot of the window, or null. Every pass commits a token, so no slot has
/// seen more passes than there are tokens.
inline const char* slot_fault(const Slot& slot, const StateBounds& bounds, std::int64_t committed) {
  if (slot.level < 0 || slot.level > bounds.levels) return "a slot has a level of another schedule";
  if (slot.age < 0 || slot.age >= committed) return "a slot is older than its picture";
  if (slot.token < -1 || slot.token >= bounds.vocab) return "a draft is outside the vocabulary";
  if (slot.level == 0 && !slot.has_token()) return "a clean slot has no token";
  if (slot.has_token() == slot.law.empty())
    return "a slot has a token without a law, or a law alone";
  if (!slot.law.empty() && slot.law.token(slot.law.size() - 1) >= bounds.vocab) {
    return "a law reaches outside the vocabulary";
  }
  const auto dim = static_cast<std::int64_t>(slot.noisy.size());
  if (dim != (slot.level == 0 ? 0 : bounds.dim)) return "a noisy embedding has another length";
  return nullptr;
}

/// Whether all tokens are tokens of the vocabulary.
inline bool are_known(std::span<const TokenId> tokens, std::int64_t vocab) {
  return std::all_of(tokens.begin(), tokens.end(),
                     [&](TokenId token) { return token >= 0 && token < vocab; });
}

/// What is wrong with an unfinished state, or null.
inline const char* state_fault(const DecoderState& state, const StateBounds& bounds) {
  if (state.sequence < 0 || state.sequence >= bounds.sequences) return "no such sequence";
  if (state.total > most_tokens || state.guidance.size() > most_scales) return "it is too large";
  if (state.tokens.empty()) return "the prompt has not run; begin with start()";
  if (!are_known(state.tokens, bounds.vocab)) return "a token is outside the vocabulary";
  if (state.iteration < 0 || state.iteration >= state.committed()) return "a wrong iteration";
  if (static_cast<std::int64_t>(state.window.size()) >= state.total - state.committed()) {
    return "the window reaches behind the picture";
  }
  for (const Slot& slot : state.window) {
    if (const char* fault = slot_fault(slot, bounds, state.committed())) return fault;
  }
  return nullptr;
}

/// What is wrong with a state that was read from a file, or null; it may be finished. Its window
/// must be one of the decoder's own plan, since hosts make room for that; a caller who steps on
/// with another plan knows what the first pass carries.
inline const char* saved_fault(const DecoderState& state, const StateBounds& bounds) {
  if (std::ssize(state.window) > bounds.drafts) return "the window is wider than its plan allows";
  if (!state.finished()) return state_fault(state, bounds);
  if (state.committed() != state.total) return "it has more tokens than the picture";
  if (!state.window.empty()) return "a finished picture has a window";
  return are_known(state.tokens, bounds.vocab) ? nullptr : "a token is outside the vocabulary";
}

/// Refuses a state that no start() or step() of this decoder can have made.
///
/// errors  invalid_argument, naming the sequence and the tip's position
inline void check_state(const DecoderState& state, const StateBounds& bounds) {
  if (const char* fault = state_fault(state, bounds)) {
    throw Error{ErrorCode::invalid_argument,
                "step: the state of sequence " + std::to_string(state.sequence) + ": " + fault,
                state.sequence, state.committed() - 1};
  }
  state.sampling.validate();
}

/// The unfinished states in the order of their sequences, as ForwardPass wants its rows.
///
/// errors  invalid_argument if two of them claim one sequence of the host, or from check_state()
inline void collect_live(std::span<DecoderState> states, const StateBounds& bounds,
                         std::vector<DecoderState*>& live) {
  live.clear();
  for (DecoderState& state : states) {
    if (state.finished()) continue;
    check_state(state, bounds);
    live.push_back(&state);
  }
  std::sort(live.begin(), live.end(),
            [](const DecoderState* a, const DecoderState* b) { return a->sequence < b->sequence; });
  for (std::size_t i = 1; i < live.size(); ++i) {
    expects(live[i - 1]->sequence != live[i]->sequence, ErrorCode::invalid_argument,
            "step: two states claim the same sequence of the model");
  }
}

/// Throws if the model left a row of the pass as it was.
///
/// errors  contract, naming sequence, branch and position
template <class Buffer>
void check_written(const Buffer& buffer, const char* what, std::span<const InputRow> rows) {
  const std::int64_t index = buffer.unwritten();
  if (index < 0) return;
  const InputRow& row = rows[static_cast<std::size_t>(index)];
  throw Error{ErrorCode::contract,
              std::string{"model.forward: row "} + std::to_string(index) + " of " + what +
                  " was not written (sequence " + std::to_string(row.sequence) + ", branch " +
                  std::to_string(row.branch) + ", image position " +
                  std::to_string(row.position + 1) + ")",
              row.sequence, row.position + 1};
}

/// The same for the first logits of a prompt.
template <class Buffer>
void check_prefilled(const Buffer& buffer, std::int32_t sequence) {
  const std::int64_t branch = buffer.unwritten();
  if (branch < 0) return;
  throw Error{ErrorCode::contract,
              "model.prefill: the logits of branch " + std::to_string(branch) +
                  " were not written (sequence " + std::to_string(sequence) + ")",
              sequence, 0};
}

/// Throws if the model changed a size since the decoder was built.
///
/// errors  contract
inline void check_same(std::int64_t before, std::int64_t now, const char* what) {
  if (before == now) return;
  throw Error{ErrorCode::contract, std::string{what} + " was " + std::to_string(before) +
                                       " and is now " + std::to_string(now)};
}

}  // namespace sjd::detail
