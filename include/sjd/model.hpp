// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sjd/core/half.hpp"
#include "sjd/core/matrix_view.hpp"

namespace sjd {

/// Index into the image vocabulary of the model: codes and structural tokens. The host maps it to
/// its own ids.
using TokenId = std::int32_t;

/// Index of a token within the picture, 0-based. Prompts are the host's business: it adds their
/// lengths.
using Position = std::int64_t;

/// One row of a forward pass: the token, or the noisy embedding, that stands at `position`.
struct InputRow {
  std::int32_t sequence = 0;  ///< which sequence of the host
  std::int32_t branch = 0;    ///< which guidance branch; 0 is the conditional one
  Position position = 0;   ///< image position of this input; its logits are the law of position + 1
  TokenId token = 0;       ///< the input at level 0
  std::int32_t level = 0;  ///< checkpoint noise level; 0 = clean: fed as a token, never as a vector
  std::int64_t embedding = -1;  ///< at level > 0: row of ForwardPass::embeddings to feed

  friend bool operator==(const InputRow&, const InputRow&) = default;
};

/// How many image rows of one KV cache stay valid; the host forgets everything behind them first.
struct KeepLength {
  std::int32_t sequence = 0;
  std::int32_t branch = 0;
  std::int64_t length = 0;

  friend bool operator==(const KeepLength&, const KeepLength&) = default;
};

/// One call of the model. Later fields do not break engines that were written before them.
///
/// shapes  keep_length [sequences x branches]; rows [live rows]; embeddings [noisy rows, dim];
///         logits [row capacity, vocab], row i overwritten for rows[i], the rest left alone;
///         hidden [row capacity, hidden_dim] likewise, or empty: only a HiddenModel is asked for it
/// order   rows are sequence-major, then branch, then position; the positions of one
///         (sequence, branch) are consecutive and begin at its keep_length
/// memory  embeddings and logits live in Model::Memory; rows and keep_length are host values;
///         logits have the type Model::Logit, if the model names one, else float
/// errors  the host throws before it changed anything, or finishes; there is no half-done pass
template <class Memory = HostMemory, LogitType Logit = float>
struct ForwardPass {
  std::span<const KeepLength> keep_length;
  std::span<const InputRow> rows;
  MatrixView<const float, Memory> embeddings;
  MatrixView<Logit, Memory> logits;
  MatrixView<float, Memory> hidden{};
};

/// What a checkpoint was trained on; decoding with anything else that these fields tell apart is
/// refused.
struct NoiseContract {
  std::int32_t grid = 0;  ///< KarrasSchedule::grid
  float rho_min = 0.0F;
  float rho_max = 0.0F;
  bool posterior_mean = false;  ///< the feed that training used; false = raw
  bool per_channel = false;     ///< the normalisation of training; false = by token, or none
  std::span<const float>
      mean{};  ///< [dim], per-channel mean of the image rows of the embedding table
  std::span<const float> scale{};  ///< [dim], their standard deviation
  std::span<const float>
      log_prior{};  ///< [vocab], log unigram probability of each token; may be empty
};

namespace detail {

template <class M>
concept has_memory = requires {
  typename M::Memory;
};
template <class M>
concept has_prompt = requires {
  typename M::Prompt;
};
template <class M>
struct logit_of {
  using type = float;
};
template <class M>
requires requires {
  typename M::Logit;
}
struct logit_of<M> {
  using type = typename M::Logit;
};
template <class M>
concept has_logit_type = LogitType<typename logit_of<M>::type>;
template <class M>
concept has_vocab_size = requires(const M& m) {
  { m.vocab_size() } -> std::convertible_to<std::int64_t>;
};
template <class M>
concept has_max_sequences = requires(const M& m) {
  { m.max_sequences() } -> std::convertible_to<std::int64_t>;
};
template <class M>
concept has_prefill = requires(M& m, const typename M::Prompt& prompt,
                               MatrixView<typename logit_of<M>::type, typename M::Memory> logits) {
  m.prefill(std::int32_t{}, prompt, logits);
};
template <class M>
concept has_forward =
    requires(M& m, const ForwardPass<typename M::Memory, typename logit_of<M>::type>& pass) {
  m.forward(pass);
};
template <class M>
concept has_embedding_table = requires(const M& m) {
  { m.embedding_table() } -> std::convertible_to<MatrixView<const float>>;
};
template <class M>
concept has_noise_contract = requires(const M& m) {
  { m.noise_contract() } -> std::convertible_to<NoiseContract>;
};
template <class M>
concept has_hidden_dim = requires(const M& m) {
  { m.hidden_dim() } -> std::convertible_to<std::int64_t>;
};
template <class M>
concept has_corrector_head = requires(M& m) {
  m.corrector_head();
};
template <class M>
concept has_transfer = requires(M& m, std::size_t bytes, void* device, const void* host) {
  { m.allocate(bytes) } -> std::convertible_to<void*>;
  m.deallocate(device);
  m.upload(device, host, bytes);
  m.download(device, host, bytes);
};

}  // namespace detail

/// First level: an autoregressive image model that decodes with PlainAr, Jacobi and SJD.
///
/// - `typename Memory`: HostMemory or DeviceMemory, where logits and embeddings live
/// - `typename Logit`, optional: what logits are written as, float (the default), Bfloat16 or
///   Float16; they are read as they are and widened in registers
/// - `typename Prompt`: whatever the host conditions on (text ids, features, a class id)
/// - `vocab_size()`: size of the image vocabulary, the columns of every logits row
/// - `max_sequences()`: how many sequences one pass may carry, numbered 0 .. max_sequences()-1
/// - `prefill(sequence, prompt, logits)`: forgets the sequence, runs its prompt in logits.rows
///   guidance branches (branch 0 conditional, the last one unconditional; their prompts may differ
///   in length) and writes the logits [branches, vocab] of image position 0
/// - `forward(pass)`: see ForwardPass
template <class M>
concept TokenModel = detail::has_memory<M> && detail::has_prompt<M> && detail::has_logit_type<M> &&
    detail::has_vocab_size<M> && detail::has_max_sequences<M> && detail::has_prefill<M> &&
    detail::has_forward<M>;

/// Second level: also accepts noisy embeddings (SJD2).
///
/// - `embedding_table()`: image rows of the input embedding [vocab, dim], host memory
/// - `noise_contract()`: what the checkpoint was trained on
template <class M>
concept NoisyModel =
    TokenModel<M> && detail::has_embedding_table<M> && detail::has_noise_contract<M>;

/// Optional level: lends the hidden rows of the last pass to a corrector.
///
/// - `hidden_dim()`: columns of ForwardPass::hidden, the rows that the image head turns into
///   logits. The head is linear, so that guidance of hidden rows is guidance of logits.
template <class M>
concept HiddenModel = TokenModel<M> && detail::has_hidden_dim<M>;

}  // namespace sjd
