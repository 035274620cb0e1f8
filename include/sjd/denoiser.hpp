// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "sjd/core/staging.hpp"
#include "sjd/core/stopwatch.hpp"
#include "sjd/cpu/rows.hpp"
#include "sjd/cpu/verify.hpp"
#include "sjd/cpu/window_update.hpp"
#include "sjd/detail/checks.hpp"
#include "sjd/detail/in_use.hpp"
#include "sjd/detail/pass_rows.hpp"
#include "sjd/detail/policy_checks.hpp"
#include "sjd/detail/ragged_batch.hpp"
#include "sjd/detail/state_checks.hpp"
#include "sjd/model.hpp"
#include "sjd/policies/noise_schedule.hpp"
#include "sjd/state.hpp"

namespace sjd {

/// Decodes an autoregressive image model many tokens a pass (SJD2, arXiv 2510.08994, and its
/// family).
///
/// Takes the model, then policies in any order, told apart by role; an absent one means the default
/// of its role: FixedWindow, KarrasSchedule (NoNoise if the model has no noise levels),
/// SpeculativeAcceptance, MaximalCoupling, UniformTokens, PerChannelNormalization, PosteriorMean,
/// NoGrammar, PhiloxRandom.
///
///     sjd::SpeculativeJacobiDenoiser denoiser{engine, sjd::FixedWindow{.tokens = 64}};
///     const auto picture = denoiser.generate({.prompt = words, .tokens = 256, .seed = 7});
///
/// memory  borrows the model; owns one logits buffer [rows, vocab] and one of noisy rows
/// errors  the constructor throws invalid_argument for a policy outside its range, contract if the
///         checkpoint was not trained on the schedule, feed or normalisation asked for
/// threads one denoiser and its model belong to one thread at a time; a call that finds it at work
///         is refused with contract
template <class Model, class... Policies>
class SpeculativeJacobiDenoiser {
  SJD_CHECK_MODEL(Model)
  SJD_CHECK_POLICIES(Policies)

  template <class Role, class Default>
  using PolicyFor = typename detail::policy_for<Role, Default, Policies...>::type;

 public:
  using Memory = typename Model::Memory;
  using Prompt = typename Model::Prompt;
  using Logit = typename detail::logit_of<Model>::type;
  using Request = GenerationRequest<Prompt>;
  using Window = PolicyFor<role::window, FixedWindow>;
  using Schedule = PolicyFor<role::noise_schedule,
                             std::conditional_t<NoisyModel<Model>, KarrasSchedule, NoNoise>>;
  using Acceptance = PolicyFor<role::acceptance, SpeculativeAcceptance>;
  using Refinement = PolicyFor<role::refinement, MaximalCoupling>;
  using Initialization = PolicyFor<role::initialization, UniformTokens>;
  using Normalization = PolicyFor<role::normalization, PerChannelNormalization>;
  using NoiseFeed = PolicyFor<role::noise_feed, PosteriorMean>;
  using Corrector = PolicyFor<role::corrector, NoCorrector>;
  using Grammar = PolicyFor<role::grammar, NoGrammar>;
  using Random = PolicyFor<role::random, PhiloxRandom>;

  using Gate = std::remove_reference_t<decltype(std::declval<const Random&>().gate(0, 0))>;
  static_assert(detail::PolicyContracts<Model, Gate, Window, Acceptance, Refinement, Initialization,
                                        Normalization, NoiseFeed, Corrector, Grammar>::hold);

  /// The window holds noisy embeddings (SJD2); false for Jacobi and SJD.
  static constexpr bool uses_noise = !std::is_same_v<Schedule, NoNoise>;
  static_assert(!uses_noise || NoisyModel<Model>,
                "sjd::NoisyModel: a noise schedule needs model.embedding_table() and "
                "model.noise_contract(); give NoNoise{} to a model without noise levels");

  /// Drafts behind the tip are redrawn between two passes.
  static constexpr bool uses_corrector = !std::is_same_v<Corrector, NoCorrector>;

  /// Committed tokens are distributed exactly as AR sampling of the same model at level 0 through
  /// the same masses.
  static constexpr bool is_lossless =
      Acceptance::is_lossless && (Refinement::tracks_true_law || !Acceptance::needs_true_law);

  explicit SpeculativeJacobiDenoiser(Model& model, Policies... policies)
      : model_{&model},
        policies_{std::move(policies)...},
        logits_{model},
        embeddings_{model},
        hidden_{model} {
    detail::check_sizes(vocab_, hidden_dim_);
    const auto normalization = detail::pick<role::normalization, Normalization>(policies_);
    detail::validate_all(window_, schedule_, acceptance_, refinement_, initialization_,
                         normalization, feed_, corrector_, grammar_, random_);
    detail::validate_grammar(grammar_, vocab_);
    if constexpr (uses_noise) {
      const NoiseContract contract = model.noise_contract();
      detail::check_noise_contract(contract, schedule_, NoiseFeed::posterior_mean,
                                   Normalization::per_channel);
      detail::check_noise_numbers(model.embedding_table(), contract, vocab_);
      space_ = make_embedding_space(model.embedding_table(), contract, normalization,
                                    NoiseFeed::posterior_mean);
    }
  }

  /// For a type spelled in full (`sjd::Sjd2<Engine>`): some of its policies in any order, the rest
  /// by default.
  template <Policy... Given>
  requires detail::proper_part<std::tuple<Given...>, std::tuple<Policies...>>
  explicit SpeculativeJacobiDenoiser(std::type_identity_t<Model>& model, Given... given)
      : SpeculativeJacobiDenoiser(model, detail::given_or_default<Policies>(given...)...) {}

  /// Decodes one picture.
  ///
  /// errors  invalid_argument for options outside their range; invalid_logits, empty_support or contract (a
  ///         row that the model left unwritten) with sequence and position; whatever the model
  ///         throws
  [[nodiscard]] GenerationResult generate(const Request& request) {
    return generate(request, detail::ignore_iteration);
  }

  /// Decodes one picture; `on_iteration(const IterationEvent&)` returns false to stop with what
  /// stands.
  ///
  /// edge    the first token comes from the prompt, not from an iteration: a picture of one token
  ///         has no event
  template <class Callback>
  [[nodiscard]] GenerationResult generate(const Request& request, Callback&& on_iteration) {
    return std::move(generate(std::span{&request, 1}, on_iteration).front());
  }

  /// Decodes many pictures, model.max_sequences() at a time; a finished one leaves, the next one
  /// joins.
  ///
  /// Every sequence has its own cursor and window, so its tokens do not depend on its batch-mates.
  [[nodiscard]] std::vector<GenerationResult> generate(std::span<const Request> requests) {
    return generate(requests, detail::ignore_iteration);
  }

  template <class Callback>
  [[nodiscard]] std::vector<GenerationResult> generate(std::span<const Request> requests,
                                                       Callback&& on_iteration) {
    return detail::run_ragged_batch(*this, requests, on_iteration, in_use_);
  }

  /// Runs the prompt of one sequence and draws its first token; the state is then ready for step().
  ///
  /// errors  invalid_argument if the sequence number or an option is outside its range
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
    laws_.resize(1);
    rows_.law(logits_.host(), state.guidance, grammar_, state.sampling, sequence, 0, laws_[0]);
    auto&& gate = random_.gate(state.seed, state.sample);
    state.tokens.push_back(acceptance_.bonus(gate, DrawKey{}, laws_[0]));
    if (!state.finished()) {
      const WindowHistory history{1, state.total, 0, state.statistics};
      cpu::fill_window(rules(), gate, slots_of(sequence, history), vocab_, nullptr, state);
    }
    return state;
  }

  /// One iteration of every sequence in `inout_states`: one forward pass, verify, refine, commit.
  ///
  /// Whatever throws, throws before any state changed; the same call may then be repeated and draws
  /// the same, with or without the sequence that the error names.
  ///
  /// edge    finished states are left alone; no live state: the model is not called
  /// errors  as generate(), and invalid_argument for a state that this denoiser cannot have made
  /// returns one event a live state, by ascending sequence
  std::vector<IterationEvent> step(std::span<DecoderState> inout_states) {
    const auto held = in_use_.call();
    detail::collect_live(inout_states, bounds(), live_);
    std::vector<IterationEvent> events;
    if (live_.empty()) return events;
    lay_out_pass();
    run_pass();
    next_.resize(live_.size());
    verdicts_.resize(live_.size());
    for (std::size_t s = 0; s < live_.size(); ++s) plan(s);
    events.reserve(live_.size());
    for (std::size_t s = 0; s < live_.size(); ++s) {
      std::swap(*live_[s], next_[s]);
      next_[s].window.clear();  // their laws would stay until the next pass
      events.push_back({*live_[s], verdicts_[s].accepted, verdicts_[s].committed(),
                        blocks_[s].count * blocks_[s].branches});
    }
    return events;
  }

  /// Seconds spent in Model::prefill and Model::forward since the denoiser was built.
  [[nodiscard]] double host_seconds() const { return host_seconds_; }
  /// Seconds spent in the corrector since the denoiser was built; no part of host_seconds().
  [[nodiscard]] double corrector_seconds() const { return corrector_seconds_; }
  [[nodiscard]] Model& model() { return *model_; }

  /// Every policy, defaults included: what a saved state is compared with.
  [[nodiscard]] auto policies() const {
    return std::tuple{window_,         schedule_,
                      acceptance_,     refinement_,
                      initialization_, detail::pick<role::normalization, Normalization>(policies_),
                      feed_,           corrector_,
                      grammar_,        random_};
  }
  /// What a state of this decoder must fit into.
  [[nodiscard]] detail::StateBounds bounds() const {
    return {model_->max_sequences(), vocab_, space_.dim, schedule_.levels, window_.capacity() - 1};
  }

 private:
  [[nodiscard]] auto rules() const {
    return cpu::WindowRules<Schedule, Refinement, Initialization, Grammar>{
        schedule_, refinement_, initialization_, grammar_, space_};
  }

  /// Writes rows, keep lengths and noisy embeddings of the next pass.
  void lay_out_pass() {
    input_rows_.clear();
    keep_.clear();
    blocks_.clear();
    noisy_rows_.clear();
    for (const DecoderState* state : live_) {
      const auto noisy = static_cast<std::int64_t>(noisy_rows_.size());
      const auto count = static_cast<std::int64_t>(state->window.size()) + 1;
      list_noise(*state);
      blocks_.push_back(
          {{}, static_cast<std::int64_t>(input_rows_.size()), count, state->branches()});
      for (std::int32_t branch = 0; branch < state->branches(); ++branch) {
        keep_.push_back({state->sequence, branch, state->committed() - 1});
        detail::append_rows(*state, branch, schedule_, noisy, input_rows_);
      }
    }
    embeddings_.reshape(static_cast<std::int64_t>(noisy_rows_.size()), space_.dim);
    if constexpr (uses_noise) feed_.feed(space_, noisy_rows_, feed_scratch_, embeddings_.host());
  }

  /// Appends the noisy slots of one sequence to the rows that the noise feed turns into embeddings.
  void list_noise(const DecoderState& state) {
    if constexpr (uses_noise) {
      for (const Slot& slot : state.window) {
        if (slot.level == 0) continue;
        noisy_rows_.push_back(
            {slot.noisy, schedule_.coefficients(schedule_.checkpoint_level(slot.level))});
      }
    }
  }

  void run_pass() {
    const auto rows = static_cast<std::int64_t>(input_rows_.size());
    detail::check_same(vocab_, model_->vocab_size(), "model.vocab_size()");
    logits_.reshape(rows, vocab_);
    embeddings_.upload();
    ForwardPass<Memory, Logit> pass{keep_, input_rows_, embeddings_.on_model(), logits_.on_model()};
    if constexpr (Corrector::reads_hidden) {
      detail::check_same(hidden_dim_, model_->hidden_dim(), "model.hidden_dim()");
      hidden_.reshape(rows, hidden_dim_);
      pass.hidden = hidden_.on_model();
    }
    const Stopwatch watch;
    model_->forward(pass);
    host_seconds_ += watch.seconds();
    logits_.download();
    detail::check_written(logits_, "logits", input_rows_);
    if constexpr (Corrector::reads_hidden) {
      hidden_.download();
      detail::check_written(hidden_, "hidden", input_rows_);
    }
  }

  /// Drafts that the next pass of a sequence carries; below 0 if the picture is finished.
  [[nodiscard]] std::int64_t slots_of(std::int32_t sequence, const WindowHistory& history) const {
    return naming_sequence(sequence, [&] { return detail::window_rows(window_, history); }) - 1;
  }

  /// Computes the next state of live sequence s into scratch.
  void plan(std::size_t s) {
    const DecoderState& state = *live_[s];
    cpu::RowBlock<Logit>& block = blocks_[s];
    block.logits = logits_.host();
    laws_.resize(static_cast<std::size_t>(block.count));
    const auto build = [&](std::int64_t j) {
      rows_.law(block.row(j), state.guidance, grammar_, state.sampling, state.sequence,
                state.committed() + j, laws_[static_cast<std::size_t>(j)]);
    };
    auto&& gate = random_.gate(state.seed, state.sample);
    const std::int64_t iteration = state.iteration + 1;
    verdicts_[s] =
        cpu::verify(acceptance_, gate, state, iteration, cpu::LawsOnDemand{laws_, build});
    DecoderState& next = next_[s];
    next = state;
    next.iteration = iteration;
    detail::count(verdicts_[s], state, block.count * block.branches, next.statistics);
    const std::int64_t shift = verdicts_[s].committed();
    const WindowHistory history{state.committed() + shift, state.total, block.count,
                                next.statistics};
    const std::int64_t slots = slots_of(state.sequence, history);
    const std::int64_t kept = cpu::surviving_slots(block.count - 1, shift, slots);
    begin_correction(block, state, next, shift, kept);
    cpu::advance(rules(), gate, verdicts_[s], laws_, slots, vocab_, next, [&](std::int64_t j) {
      if (j - shift >= std::ssize(drafts_)) return build(j);
      rows_.corrected_law(block.row(j), state.guidance, grammar_, state.sampling, state.sequence,
                          state.committed() + j, laws_[static_cast<std::size_t>(j)],
                          [&](std::span<float> row) { correct_logits(j - shift, row); });
    });
  }

  /// Lays out what the corrector will see of the `kept` drafts behind the new tip. Guidance of the
  /// hidden rows is exact: the head behind them is linear.
  void begin_correction(const cpu::RowBlock<Logit>& block, const DecoderState& before,
                        const DecoderState& now, std::int64_t shift, std::int64_t kept) {
    if constexpr (uses_corrector) {
      const Stopwatch watch;
      const std::int64_t end =
          kept == 0 ? 0 : shift + std::min<std::int64_t>(corrector_.depth, kept);
      MatrixView<const float> hidden{nullptr, block.count, 0};
      if constexpr (Corrector::reads_hidden) hidden = guide_hidden(block, before.guidance, end);
      drafts_.clear();
      for (std::int64_t j = shift; j < end; ++j) {
        drafts_.push_back({before, now, j, shift, hidden});
      }
      const std::span<const CorrectionContext> drafts{drafts_};
      if constexpr (requires { corrector_.begin(*model_, drafts); }) {
        if (!drafts.empty()) corrector_.begin(*model_, drafts);
      }
      corrector_seconds_ += watch.seconds();
    }
  }

  /// Guided hidden rows [block.count, hidden_dim] of one sequence, the first `end` of them filled.
  MatrixView<const float> guide_hidden(const cpu::RowBlock<Logit>& block,
                                       std::span<const float> scales, std::int64_t end) {
    guided_hidden_.resize(static_cast<std::size_t>(block.count * hidden_dim_));
    const MatrixView<float> guided{guided_hidden_.data(), block.count, hidden_dim_};
    const cpu::SequenceRows rows{hidden_.host(), block.first, block.count, block.branches};
    for (std::int64_t j = 0; j < end; ++j) cpu::guide(rows.row(j), scales, guided.row(j));
    return guided;
  }

  /// Lets the corrector change the logits of the draft that many positions behind the next tip.
  void correct_logits(std::int64_t behind, std::span<float> inout_logits) {
    if constexpr (uses_corrector) {
      const Stopwatch watch;
      static_cast<void>(
          corrector_.correct(*model_, drafts_[static_cast<std::size_t>(behind)], inout_logits));
      corrector_seconds_ += watch.seconds();
    }
  }

  Model* model_;
  std::int64_t vocab_ = model_->vocab_size();
  std::int64_t hidden_dim_ = detail::hidden_dim_of<Corrector>(*model_);
  std::tuple<Policies...> policies_;
  Window window_ = detail::pick<role::window, Window>(policies_);
  Schedule schedule_ = detail::pick<role::noise_schedule, Schedule>(policies_);
  Acceptance acceptance_ = detail::pick<role::acceptance, Acceptance>(policies_);
  Refinement refinement_ = detail::pick<role::refinement, Refinement>(policies_);
  Initialization initialization_ = detail::pick<role::initialization, Initialization>(policies_);
  NoiseFeed feed_ = detail::pick<role::noise_feed, NoiseFeed>(policies_);
  Corrector corrector_ = detail::pick<role::corrector, Corrector>(policies_);
  Grammar grammar_ = detail::pick<role::grammar, Grammar>(policies_);
  Random random_ = detail::pick<role::random, Random>(policies_);
  EmbeddingSpace space_;                       // empty without noise
  detail::StagedBuffer<Model, Logit> logits_;  // [rows, vocab]
  detail::StagedBuffer<Model> embeddings_;     // [noisy rows, dim]
  detail::StagedBuffer<Model> hidden_;         // [rows, hidden_dim], empty without a corrector
  cpu::RowPipeline rows_;
  double host_seconds_ = 0.0;
  double corrector_seconds_ = 0.0;
  detail::InUse in_use_;

  std::vector<DecoderState*> live_;           // [live]
  std::vector<InputRow> input_rows_;          // [rows]
  std::vector<KeepLength> keep_;              // [live x branches]
  std::vector<cpu::RowBlock<Logit>> blocks_;  // [live]
  std::vector<DecoderState> next_;            // [live], scratch of the two-phase step
  std::vector<cpu::Verdict> verdicts_;        // [live]
  std::vector<TokenLaw> laws_;                // [window + 1]
  std::vector<float> guided_hidden_;          // [window + 1, hidden_dim] of one sequence
  std::vector<CorrectionContext> drafts_;     // [min(depth, drafts left)] of one sequence
  std::vector<NoisyRow> noisy_rows_;          // [noisy rows]
  std::vector<float> feed_scratch_;
};

/// The denoiser is made of just the policies that it is given.
template <class Model, class... Policies>
SpeculativeJacobiDenoiser(Model&, Policies...) -> SpeculativeJacobiDenoiser<Model, Policies...>;

}  // namespace sjd
