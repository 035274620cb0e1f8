// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "cuda/kernel_arrays.hpp"
#include "cuda/table_change.hpp"
#include "sjd/cuda/launch.hpp"
#include "sjd/denoiser.hpp"
#include "support/table_host.hpp"

/// Whole decodes: the CPU decoder and the three kernels side by side, pass by pass.
namespace sjd::test {

/// The device side of a composition.
struct KernelRules {
  cuda::Judge judge = cuda::Judge::ratio;
  cuda::Refresh refresh = cuda::Refresh::maximal;
  cuda::DrawKind draw = cuda::DrawKind::categorical;
};

/// What one decode is made of.
struct DecodeCase {
  KernelRules rules{};
  TableOptions table{};
  std::int32_t window = 5;
  std::uint64_t seed = 1;
  SamplingOptions sampling{};
  std::size_t scales = 1;  ///< of guidance
  /// This row of every pass is spoiled: a NaN, or -Inf everywhere.
  std::int64_t spoiled_row = -1;
  bool spoiled_by_nothing = false;
  std::int64_t redraw_blocks = 1;  ///< of a cluster; 0: keys go through the workspace
  bool lost_law = false;           ///< the first draft carries a law that does not hold its token
};

/// What decode_difference answers where both sides stop, for the same reason and at the same place.
inline const std::string both_stop = "both stop";

/// Compares a failed pass: why, where, and that nothing has changed.
inline std::string stop_difference(const Error& error, const DecoderState& state,
                                   DecodeArrays& all) {
  const cuda::SequenceState& there = all.image.states[0];
  if (there.status == cuda::SequenceStatus::running)
    return std::string{"only the CPU stops: "} + error.what();
  const cuda::BatchState batch = all.image.view();
  const std::int64_t law = batch.law(0, there.bad_position, there.iteration + 1);
  try {
    cuda::check_sequence(there, all.image.heads[static_cast<std::size_t>(law)], 0);
  } catch (const Error& other) {
    if (other.code() != error.code() || other.position() != error.position() ||
        other.sequence() != error.sequence()) {
      return std::string{other.what()} + ", but the CPU: " + error.what();
    }
  }
  DecoderState copy = state;
  all.image.get(0, copy);
  return copy == state ? both_stop : "a pass that failed changed the state";
}

/// Spoils one row of the passes that follow.
inline void spoil(const DecodeCase& c, TableHost& host) {
  if (c.spoiled_row < 0) return;
  host.spoil = [row = c.spoiled_row, nothing = c.spoiled_by_nothing](MatrixView<float> logits) {
    if (row >= logits.rows) return;
    constexpr float infinity = std::numeric_limits<float>::infinity();
    if (nothing) std::fill_n(logits.row(row).begin(), logits.columns, -infinity);
    logits.row(row)[1] = nothing ? -infinity : std::numeric_limits<float>::quiet_NaN();
  };
}

/// Gives the first draft the law of its position, but another token.
template <class Denoiser>
void lose_law(Denoiser& denoiser, DecoderState& inout_state) {
  std::vector<DecoderState> ahead{inout_state};
  static_cast<void>(denoiser.step(ahead));
  const TokenId token = ahead[0].tokens[inout_state.tokens.size()];
  inout_state.window[0].law.set_point(token);
  inout_state.window[0].token = token == 0 ? 1 : 0;
}

/// What stands for a corrector on the side of the kernels: nothing, unless it says otherwise.
template <class Corrector>
struct DeviceTwin {
  template <class Host>
  DeviceTwin(const Corrector&, Host&, const DecodeCase&, DecodeArrays&) {}
  cuda::NoChange change{};
};
template <>
struct DeviceTwin<TableCorrector> {
  template <class Host>
  DeviceTwin(const TableCorrector& corrector, Host& host, const DecodeCase&, DecodeArrays&)
      : change{corrector, static_cast<std::size_t>(host.vocab_size())} {}
  TableChange change;
};

/// One warp a block and one block a row; the redraw in as many blocks as the case says.
template <class Change>
void plan_step(const DecodeCase& c, const cuda::BatchShape& shape,
               cuda::StepArguments<float, Change>& out_step) {
  cuda::RowsPlan& rows = out_step.plan;
  rows.slice = (c.table.vocab + 31) / 32 * 32;
  rows.geometry = {
      shape.sequences * c.window, 1, 32,
      static_cast<std::size_t>(cuda::detail::padded(static_cast<std::int32_t>(rows.slice)))};
  if constexpr (!std::is_same_v<Change, cuda::NoChange>) {
    const std::int64_t cuts = c.redraw_blocks;
    cuda::RowsPlan& redraw = out_step.redraw_plan;
    redraw = rows;
    redraw.split = cuts == 0;
    redraw.slice = cuts == 0 ? rows.slice : (c.table.vocab + 32 * cuts - 1) / (32 * cuts) * 32;
    redraw.geometry.clusters = shape.sequences;
    redraw.geometry.blocks = cuts == 0 ? 1 : static_cast<int>(cuts);
  }
}

/// The arguments of the window kernel over these arrays.
inline cuda::WindowArguments window_arguments(const DecodeCase& c, const cuda::BatchShape& shape,
                                              const KarrasSchedule* noise,
                                              const EmbeddingTables& tables, DecodeArrays& all) {
  cuda::WindowArguments w;
  w.batch = all.image.view();
  w.grammar = all.grammar.table();
  if (noise != nullptr) w.noise = all.lines.table(*noise);
  w.refresh = c.rules.refresh;
  w.vocab = c.table.vocab;
  w.rows = c.window;
  w.branches = shape.most_branches;
  w.clean = tables.clean.data();
  w.mean = tables.mean.data();
  w.scale = tables.scale.data();
  if (tables.posterior) {
    w.posterior = {tables.scores.data(), tables.half_square.data(), tables.log_prior.data(),
                   tables.embeddings.data(), all.weights.data()};
  }
  w.embeddings = noise == nullptr ? nullptr : all.embeddings.data();
  w.input = all.input.data();
  w.tasks = all.tasks.data();
  return w;
}

/// The arguments of a step over these arrays.
template <class Change>
cuda::StepArguments<float, Change> step_arguments(
    const DecodeCase& c, const cuda::BatchShape& shape, const KarrasSchedule* noise,
    const EmbeddingTables& tables, const Change& change, std::int64_t depth, DecodeArrays& all) {
  cuda::StepArguments<float, Change> step;
  plan_step(c, shape, step);
  step.sequences = {all.image.view(), c.rules.judge};
  step.corrector = change;
  if constexpr (!std::is_same_v<Change, cuda::NoChange>) {
    step.sequences.verdicts = all.verdicts.data();
    step.sequences.depth = depth;
    step.rows.workspace.keys = all.keys.data();
  }
  step.rows.logits = {all.logits.data(), std::ssize(all.input), c.table.vocab, c.table.vocab};
  step.rows.tasks = all.tasks.data();
  step.rows.task_count = shape.sequences * c.window;
  step.rows.settings = all.image.settings.data();
  step.rows.grammar = all.grammar.table();
  step.rows.laws = step.sequences.batch.laws;
  step.rows.draw = c.rules.draw;
  step.window = window_arguments(c, shape, noise, tables, all);
  return step;
}

/// One pass of the table host over the rows that the window kernel wrote.
template <class Host>
void run_table(Host& host, const DecodeCase& c, const cuda::BatchShape& shape, DecodeArrays& all) {
  std::vector<InputRow> rows;
  std::vector<KeepLength> keep;
  std::vector<std::int64_t> places;
  for (std::size_t i = 0; i < all.input.size(); ++i) {
    const InputRow& row = all.input[i];
    if (row.sequence < 0) continue;
    if (i % static_cast<std::size_t>(c.window) == 0) {
      keep.push_back({row.sequence, row.branch, row.position});
    }
    rows.push_back(row);
    places.push_back(static_cast<std::int64_t>(i));
  }
  std::vector<float> logits(rows.size() * static_cast<std::size_t>(c.table.vocab));
  const auto count = static_cast<std::int64_t>(rows.size());
  std::int64_t hidden_dim = 0;
  if constexpr (HiddenModel<Host>) hidden_dim = host.hidden_dim();
  std::vector<float> hidden(rows.size() * static_cast<std::size_t>(hidden_dim));
  host.forward({keep,
                rows,
                {all.embeddings.data(), shape.sequences * c.window, shape.dim},
                {logits.data(), count, c.table.vocab},
                {hidden.data(), count, hidden_dim}});
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t place = places[static_cast<std::size_t>(i)];
    std::copy_n(logits.begin() + i * c.table.vocab, c.table.vocab,
                all.logits.begin() + place * c.table.vocab);
    if (all.hidden.empty()) continue;
    std::copy_n(hidden.begin() + i * hidden_dim, hidden_dim,
                all.hidden.begin() + place * hidden_dim);
  }
}

/// Requests of different lengths and guidance, so that the batch is ragged.
inline GenerationRequest<TablePrompt> request_of(const DecodeCase& c, std::uint64_t number) {
  GenerationRequest<TablePrompt> request;
  request.prompt = {{number + 3, number + 9}};
  request.tokens = static_cast<std::int64_t>(9 + 6 * number);
  request.seed = c.seed;
  request.sample = number;
  request.sampling = c.sampling;
  for (std::size_t i = 0; i < c.scales; ++i) {
    request.guidance.push_back(1.5F - 0.25F * static_cast<float>(i + number));
  }
  return request;
}

/// The embedding space as kernels take it.
inline EmbeddingTables tables_of(const EmbeddingSpace& space, MatrixView<const float> table,
                                 bool posterior) {
  EmbeddingTables tables{posterior, space.normalized,  space.mean,      space.scale,
                         {},        space.half_square, space.log_prior, {}};
  for (std::int64_t d = 0; d < space.dim; ++d) {
    for (std::int64_t v = 0; v < space.vocab; ++v) {
      tables.scores.push_back(space.clean(v)[static_cast<std::size_t>(d)]);
    }
  }
  for (std::int64_t v = 0; v < space.vocab; ++v) {
    tables.embeddings.insert(tables.embeddings.end(), table.row(v).begin(), table.row(v).end());
  }
  return tables;
}

/// The batch of a case; `noise` is null without noise.
inline cuda::BatchShape shape_of(const DecodeCase& c, const KarrasSchedule* noise) {
  return {.sequences = c.table.sequences,
          .ring = c.window,
          .most_tokens = 100,
          .dim = noise != nullptr ? c.table.dim : 0,
          .capacity = c.table.vocab,
          .most_branches = static_cast<std::int64_t>(c.scales) + 1,
          .levels = noise != nullptr ? noise->levels : 0};
}

template <class Denoiser>
std::vector<DecoderState> start_all(const DecodeCase& c, Denoiser& denoiser) {
  std::vector<DecoderState> states;
  for (std::int32_t s = 0; s < c.table.sequences; ++s) {
    states.push_back(denoiser.start(s, request_of(c, static_cast<std::uint64_t>(s))));
  }
  if (c.lost_law) lose_law(denoiser, states[0]);
  return states;
}

/// Gives the states to the kernels, whose window kernel writes the rows of the first pass.
inline void load(const DecodeCase& c, const std::vector<DecoderState>& states,
                 const cuda::WindowArguments& window, DecodeArrays& all) {
  for (std::size_t s = 0; s < states.size(); ++s) {
    all.image.put(static_cast<std::int64_t>(s), states[s], c.window);
    cuda::HostLauncher launcher;
    cuda::join(launcher, window, static_cast<std::int64_t>(s), 32);
  }
}

/// What the kernels have otherwise than these states, or nothing.
inline std::string state_difference(const std::vector<DecoderState>& states, DecodeArrays& all) {
  for (std::size_t s = 0; s < states.size(); ++s) {
    DecoderState copy = states[s];
    all.image.get(static_cast<std::int64_t>(s), copy);
    if (copy == states[s]) continue;
    return "sequence " + std::to_string(s) + ": " + std::to_string(copy.committed()) +
           " tokens, the CPU has " + std::to_string(states[s].committed()) +
           (copy.tokens == states[s].tokens ? "" : "; the tokens differ") +
           (copy.window == states[s].window ? "" : "; the windows differ") +
           (copy.statistics == states[s].statistics ? "" : "; the counters differ");
  }
  return "";
}

/// Decodes to the end; `pass_of_kernels()` is one pass of the other side.
template <class Denoiser, class Pass>
std::string compare_passes(Denoiser& denoiser, std::vector<DecoderState>& states, DecodeArrays& all,
                           const Pass& pass_of_kernels) {
  for (int pass = 0; pass < 200; ++pass) {
    if (std::all_of(states.begin(), states.end(), [](const auto& s) { return s.finished(); })) {
      return pass < 3 ? "the decode ended before it began" : "";
    }
    std::optional<Error> error;
    try {
      static_cast<void>(denoiser.step(states));
    } catch (const Error& thrown) {
      error = thrown;
    }
    pass_of_kernels();
    if (error) return stop_difference(*error, states[0], all);
    const std::string difference = state_difference(states, all);
    if (!difference.empty()) return "pass " + std::to_string(pass) + ", " + difference;
  }
  return "the decode never ends";
}

/// Decodes one batch on both sides; `run(step, shape, arrays, tables)` is one library step of the
/// kernels. Returns what differs first, or nothing.
///
/// `schedule`, `feed` and `policies` are those of the CPU decoder; the grammar repeats after
/// `period`.
template <class Host = TableHost, class Run, class Schedule, class Grammar, class Feed,
          class... Policies>
std::string decode_difference(const DecodeCase& c, const Run& run, const Schedule& schedule,
                              const Grammar& grammar, std::int64_t period, Feed feed,
                              Policies... policies) {
  using Corrector = typename detail::policy_for<role::corrector, NoCorrector, Policies...>::type;
  Host host{c.table};
  SpeculativeJacobiDenoiser denoiser{
      host, FixedWindow{.tokens = c.window}, schedule, grammar, feed, policies...};
  constexpr bool noisy = !std::is_same_v<Schedule, NoNoise>;
  KarrasSchedule levels;
  EmbeddingSpace space;
  if constexpr (noisy) {
    levels = schedule;
    space = make_embedding_space(host.embedding_table(), host.noise_contract(),
                                 PerChannelNormalization{});
  }
  const KarrasSchedule* noise = noisy ? &levels : nullptr;
  std::vector<DecoderState> states = start_all(c, denoiser);
  const cuda::BatchShape shape = shape_of(c, noise);
  const EmbeddingTables tables = tables_of(space, host.embedding_table(), Feed::posterior_mean);
  DecodeArrays all{shape, c.window, c.table.vocab, levels};
  if (period > 0) all.grammar = cuda::write_out(grammar, period, c.table.vocab);
  const auto corrector = detail::pick<role::corrector, Corrector>(std::tuple{policies...});
  const DeviceTwin<Corrector> device{corrector, host, c, all};
  const auto step = step_arguments(c, shape, noise, tables, device.change, corrector.depth, all);
  load(c, states, step.window, all);
  spoil(c, host);
  Host twin{host};
  return compare_passes(denoiser, states, all, [&] {
    run_table(twin, c, shape, all);
    run(step, shape, all, tables);
  });
}

/// A small ragged decode of some window, guidance and filter.
inline DecodeCase decode_case(KernelRules rules, std::uint64_t seed, std::int64_t dim = 1) {
  DecodeCase c{.rules = rules, .seed = seed};
  c.table = {.vocab = 7, .dim = dim, .seed = seed, .sequences = 3, .spread = 1.0F};
  c.window = static_cast<std::int32_t>(2 + seed % 5);
  c.scales = seed % 3;
  if (seed % 4 == 1) c.sampling.top_k = 4;
  if (seed % 4 == 2) c.sampling.top_p = 0.8F;
  if (seed % 4 == 3) c.sampling.temperature = 0.0F;
  return c;
}

/// decode_difference of a decode without noise, under a grammar.
template <class Host = TableHost, class Run, class... Policies>
std::string clean_difference(KernelRules rules, std::uint64_t seed, const Run& run,
                             Policies... policies) {
  return decode_difference<Host>(decode_case(rules, seed), run, NoNoise{}, RowEndGrammar{3, 5}, 4,
                                 RawNoise{}, policies...);
}

/// The same with noise, of one or three levels and either descent.
template <class Host = TableHost, class Run, class Feed, class... Policies>
std::string noisy_difference(KernelRules rules, std::uint64_t seed, const Run& run, Feed feed,
                             Policies... policies) {
  DecodeCase c = decode_case(rules, seed, 5);
  c.redraw_blocks = static_cast<std::int64_t>(seed % 3);
  c.table.vocab = 23;  // more than the sixteen lanes that weights are summed in
  c.table.posterior_mean = Feed::posterior_mean;
  const KarrasSchedule schedule{
      .levels = seed % 2 == 0 ? 3 : 1,
      .grid = 4,
      .rho_min = 0.5F,
      .rho_max = 2.0F,
      .descent = seed % 3 == 0 ? LevelDescent::by_deadline : LevelDescent::by_age,
      .tokens_per_level = 2};
  return decode_difference<Host>(c, run, schedule, RowEndGrammar{3, 5}, 4, feed, policies...);
}

}  // namespace sjd::test
