// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "sjd/core/staging.hpp"
#include "sjd/core/stopwatch.hpp"
#include "sjd/cpu/rows.hpp"
#include "sjd/detail/checks.hpp"
#include "sjd/detail/in_use.hpp"
#include "sjd/detail/ragged_batch.hpp"
#include "sjd/detail/state_checks.hpp"
#include "sjd/policies/acceptance.hpp"
#include "sjd/policies/grammar.hpp"
#include "sjd/state.hpp"

namespace sjd {

/// Plain autoregressive decoding: the baseline, and the definition of what every lossless
/// composition must draw.
///
/// One row a pass, no window. Policies: an acceptance criterion lends its sampler
/// (SpeculativeAcceptance: fresh draws, GumbelEquality: shared noise, GreedyEquality: the mode),
/// NoGrammar, PhiloxRandom.
///
/// With the default sampler, the same tokens as a SpeculativeJacobiDenoiser with
/// FixedWindow{.tokens = 1}.
/// memory  borrows the model; owns one logits buffer [sequences x branches, vocab]
template <class Model, class... Policies>
class PlainAr {
  SJD_CHECK_MODEL(Model)
  SJD_CHECK_POLICIES(Policies)
  static_assert(((PolicyOf<Policies, role::acceptance> || PolicyOf<Policies, role::grammar> ||
                  PolicyOf<Policies, role::random>)&&...),
                "sjd::PlainAr: it takes an acceptance criterion for its sampler, a grammar and a "
                "random policy; it has no window that another policy could move");

  template <class Role, class Default>
  using PolicyFor = typename detail::policy_for<Role, Default, Policies...>::type;

 public:
  using Memory = typename Model::Memory;
  using Prompt = typename Model::Prompt;
  using Logit = typename detail::logit_of<Model>::type;
  using Request = GenerationRequest<Prompt>;
  using Sampler = PolicyFor<role::acceptance, SpeculativeAcceptance>;
  using Grammar = PolicyFor<role::grammar, NoGrammar>;
  using Random = PolicyFor<role::random, PhiloxRandom>;
  static constexpr bool is_lossless = true;

  explicit PlainAr(Model& model, Policies... policies)
      : model_{&model}, policies_{std::move(policies)...}, logits_{model} {
    detail::check_sizes(vocab_, 1);
    detail::validate_all(sampler_, grammar_, random_);
    detail::validate_grammar(grammar_, vocab_);
  }

  /// Decodes one picture; see SpeculativeJacobiDenoiser::generate.
  [[nodiscard]] GenerationResult generate(const Request& request) {
    return generate(request, detail::ignore_iteration);
  }
  template <class Callback>
  [[nodiscard]] GenerationResult generate(const Request& request, Callback&& on_iteration) {
    return std::move(generate(std::span{&request, 1}, on_iteration).front());
  }
  [[nodiscard]] std::vector<GenerationResult> generate(std::span<const Request> requests) {
    return generate(requests, detail::ignore_iteration);
  }
  template <class Callback>
  [[nodiscard]] std::vector<GenerationResult> generate(std::span<const Request> requests,
                                                       Callback&& on_iteration) {
    return detail::run_ragged_batch(*this, requests, on_iteration, in_use_);
  }

  /// Runs the prompt and draws the first token.
  [[nodiscard]] DecoderState start(std::int32_t sequence, const Request& request) {
    const auto held = in_use_.call();
    DecoderState state = detail::start_state(sequence, model_->max_sequences(), request);
    if (state.total == 0) return state;
    detail::check_same(vocab_, model_->vocab_size(), "model.vocab_size()");
    logits_.reshape(state.branches(), vocab_);
    const Stopwatch watch;
    model_->prefill(sequence, request.prompt, logits_.on_model());
    host_seconds_ += watch.seconds();
    logits_.download();
    detail::check_prefilled(logits_, sequence);
    state.tokens.push_back(draw(state, logits_.host()));
    return state;
  }

  /// One token for every unfinished sequence; see SpeculativeJacobiDenoiser::step.
  std::vector<IterationEvent> step(std::span<DecoderState> inout_states) {
    const auto held = in_use_.call();
    detail::collect_live(inout_states, bounds(), live_);
    std::vector<IterationEvent> events;
    if (live_.empty()) return events;
    lay_out_pass();
    run_pass();
    draw_all();
    // Room for everything first: from the first commit on nothing may throw.
    events.reserve(live_.size());
    for (DecoderState* state : live_) {
      state->tokens.reserve(state->tokens.size() + 1);
      state->statistics.passes_by_rows.reserve(1);
    }
    for (std::size_t s = 0; s < live_.size(); ++s) {
      live_[s]->tokens.push_back(drawn_[s]);
      live_[s]->iteration += 1;
      live_[s]->statistics.forward_passes += 1;
      live_[s]->statistics.rows += live_[s]->branches();
      live_[s]->statistics.bonus += 1;
      detail::add_at(live_[s]->statistics.passes_by_rows, 0);
      events.push_back({*live_[s], 0, 1, live_[s]->branches()});
    }
    return events;
  }

  [[nodiscard]] double host_seconds() const { return host_seconds_; }
  [[nodiscard]] Model& model() { return *model_; }

  /// Every policy, defaults included: what a saved state is compared with.
  [[nodiscard]] auto policies() const { return std::tuple{sampler_, grammar_, random_}; }
  /// What a state of this decoder must fit into.
  [[nodiscard]] detail::StateBounds bounds() const {
    return {.sequences = model_->max_sequences(), .vocab = vocab_};
  }

 private:
  /// The tip of every live sequence, in every branch.
  void lay_out_pass() {
    rows_.clear();
    keep_.clear();
    for (const DecoderState* state : live_) {
      for (std::int32_t branch = 0; branch < state->branches(); ++branch) {
        const Position tip = state->committed() - 1;
        keep_.push_back({state->sequence, branch, tip});
        rows_.push_back({.sequence = state->sequence,
                         .branch = branch,
                         .position = tip,
                         .token = state->tokens.back()});
      }
    }
  }

  void run_pass() {
    detail::check_same(vocab_, model_->vocab_size(), "model.vocab_size()");
    logits_.reshape(static_cast<std::int64_t>(rows_.size()), vocab_);
    const Stopwatch watch;
    model_->forward(ForwardPass<Memory, Logit>{keep_, rows_, {}, logits_.on_model()});
    host_seconds_ += watch.seconds();
    logits_.download();
    detail::check_written(logits_, "logits", rows_);
  }

  /// All draws before the first commit, so that a bad row changes nothing.
  void draw_all() {
    drawn_.clear();
    std::int64_t row = 0;
    for (const DecoderState* state : live_) {
      const MatrixView<Logit> all = logits_.host();
      drawn_.push_back(draw(*state, {all.data + row * all.stride, state->branches(), all.columns}));
      row += state->branches();
    }
  }

  /// The next token of one sequence from its logits [branches, vocab].
  TokenId draw(const DecoderState& state, MatrixView<const Logit> branches) {
    pipeline_.law(branches, state.guidance, grammar_, state.sampling, state.sequence,
                  state.committed(), law_);
    auto&& gate = random_.gate(state.seed, state.sample);
    const DrawKey key{.position = state.committed(), .iteration = state.committed()};
    return sampler_.bonus(gate, key, law_);
  }

  Model* model_;
  std::int64_t vocab_ = model_->vocab_size();
  std::tuple<Policies...> policies_;
  Sampler sampler_ = detail::pick<role::acceptance, Sampler>(policies_);
  Grammar grammar_ = detail::pick<role::grammar, Grammar>(policies_);
  Random random_ = detail::pick<role::random, Random>(policies_);
  detail::StagedBuffer<Model, Logit> logits_;  // [sequences x branches, vocab]
  cpu::RowPipeline pipeline_;
  TokenLaw law_;
  double host_seconds_ = 0.0;
  detail::InUse in_use_;

  std::vector<DecoderState*> live_;  // [live]
  std::vector<InputRow> rows_;       // [live x branches]
  std::vector<KeepLength> keep_;     // [live x branches]
  std::vector<TokenId> drawn_;       // [live]
};

}  // namespace sjd
