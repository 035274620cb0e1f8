// SPDX-License-Identifier: Apache-2.0
#include "compositions.hpp"

#include <algorithm>
#include <array>
#include <sjd/hosts/corrector_head.hpp>
#include <sjd/methods.hpp>
#include <sjd/plain_ar.hpp>
#include <type_traits>
#include <utility>

#include "engine.hpp"

namespace sjd::paint {
namespace {

static_assert(std::is_same_v<WordIds, Engine::Prompt>);

/// The window of a plan: fixed, or by cost where that is known.
struct PlannedWindow {
  using role = role::window;

  FixedWindow fixed;
  std::optional<CostAwareWindow> by_cost;

  [[nodiscard]] std::int64_t rows(const WindowHistory& history) const {
    return by_cost ? by_cost->rows(history) : fixed.rows(history.committed, history.total);
  }
  [[nodiscard]] std::int64_t capacity() const {
    return by_cost ? by_cost->capacity() : fixed.capacity();
  }
  void validate() const { fixed.validate(); }
};

PlannedWindow window_of(const Plan& plan) {
  return {{.tokens = plan.window}, plan.by_cost};
}

template <class Denoiser>
class Erased final : public Decoder {
 public:
  template <class... Policies>
  explicit Erased(Engine& engine, Policies... policies)
      : denoiser_{engine, std::move(policies)...} {}

  [[nodiscard]] std::vector<GenerationResult> generate(std::span<const Request> requests,
                                                       const OnIteration& on_iteration) override {
    return denoiser_.generate(requests, on_iteration);
  }
  [[nodiscard]] DecoderState start(std::int32_t sequence, const Request& request) override {
    return denoiser_.start(sequence, request);
  }
  void step(std::span<DecoderState> inout_states) override { denoiser_.step(inout_states); }

 private:
  Denoiser denoiser_;
};

/// The checkpoint's own schedule, read with K levels; the decoder refuses what does not fit.
KarrasSchedule schedule_of(const NoiseContract& contract, const Plan& plan) {
  return {.levels = plan.levels,
          .grid = contract.grid,
          .rho_min = contract.rho_min,
          .rho_max = contract.rho_max,
          .descent = plan.descent,
          .tokens_per_level = plan.tokens_per_level};
}

template <class Sampler>
std::unique_ptr<Decoder> make_plain(Engine& engine, const Plan&) {
  return std::make_unique<Erased<PlainAr<Engine, Sampler>>>(engine, Sampler{});
}

/// A denoiser of these policies, and of the plan's corrector where it has one.
template <class Method, class... Policies>
std::unique_ptr<Decoder> make_erased(Engine& engine, const Plan& plan, Policies... policies) {
  if constexpr (Method::uses_corrector) {
    return std::make_unique<Erased<Method>>(engine, policies...,
                                            HeadCorrector{.depth = plan.depth});
  } else {
    return std::make_unique<Erased<Method>>(engine, policies...);
  }
}

template <class Method>
std::unique_ptr<Decoder> make_clean(Engine& engine, const Plan& plan) {
  return make_erased<Method>(engine, plan, window_of(plan));
}

template <template <class, class, class> class Method>
std::unique_ptr<Decoder> make_noisy(Engine& engine, const Plan& plan) {
  const NoiseContract contract = engine.noise_contract();
  const PlannedWindow window = window_of(plan);
  const KarrasSchedule schedule = schedule_of(contract, plan);
  if (contract.posterior_mean) {
    return make_erased<Method<Engine, PosteriorMean, PlannedWindow>>(engine, plan, window,
                                                                     schedule);
  }
  return make_erased<Method<Engine, RawNoise, PlannedWindow>>(engine, plan, window, schedule);
}

struct Names {
  std::string_view name, decoder, coupling, baseline, summary;
};

template <class Sampler>
constexpr Composition plain(Names n) {
  return {n.name,
          n.decoder,
          n.coupling,
          n.baseline,
          n.summary,
          PlainAr<Engine, Sampler>::is_lossless,
          true,
          false,
          false,
          false,
          make_plain<Sampler>};
}

template <class Method>
constexpr bool equals_ar = Method::is_lossless && !Method::Acceptance::needs_true_law;

template <class Method>
constexpr Composition clean(Names n) {
  return {n.name,
          n.decoder,
          n.coupling,
          n.baseline,
          n.summary,
          Method::is_lossless,
          equals_ar<Method>,
          true,
          false,
          Method::uses_corrector,
          make_clean<Method>};
}

template <template <class, class, class> class Method>
constexpr Composition noisy(Names n) {
  using Known = Method<Engine, PosteriorMean, PlannedWindow>;
  return {n.name,
          n.decoder,
          n.coupling,
          n.baseline,
          n.summary,
          Known::is_lossless,
          equals_ar<Known>,
          true,
          true,
          Known::uses_corrector,
          make_noisy<Method>};
}

constexpr std::array table{
    plain<SpeculativeAcceptance>({"ar", "ar", "none", "ar", "one token a pass"}),
    plain<GumbelEquality>(
        {"ar-gumbel", "ar", "gumbel", "ar-gumbel", "one token a pass, noise fixed per position"}),
    plain<GreedyEquality>(
        {"ar-greedy", "ar-greedy", "none", "ar-greedy", "one token a pass, always the likeliest"}),
    clean<JacobiGreedy<Engine, PlannedWindow>>(
        {"jacobi", "jacobi", "none", "ar-greedy", "Jacobi decoding of the greedy picture"}),
    clean<CorrectedSjd<Engine, PlannedWindow>>({"sjd-corrected", "sjd", "corrected", "ar",
                                                "coupled SJD, drafts behind a correction redrawn"}),
    clean<CoupledSjd<Engine, PlannedWindow>>(
        {"sjd-maximal", "sjd", "maximal", "ar", "SJD with maximally coupled drafts"}),
    clean<Sjd<Engine, PlannedWindow>>(
        {"sjd", "sjd", "none", "ar", "SJD, drafts redrawn in every pass"}),
    clean<GumbelSjd<Engine, PlannedWindow>>(
        {"sjd-gumbel", "sjd", "gumbel", "ar-gumbel", "SJD with noise fixed per position"}),
    noisy<CorrectedSjd2>({"sjd2-corrected", "sjd2", "corrected", "ar",
                          "coupled SJD2, drafts behind a correction redrawn"}),
    noisy<CoupledSjd2>(
        {"sjd2-maximal", "sjd2", "maximal", "ar", "SJD2 with maximally coupled clean estimates"}),
    noisy<Sjd2>({"sjd2", "sjd2", "none", "ar", "SJD2, clean estimates redrawn in every pass"}),
    noisy<GumbelSjd2>(
        {"sjd2-gumbel", "sjd2", "gumbel", "ar-gumbel", "SJD2 with noise fixed per position"}),
    noisy<UngatedSjd2>({"sjd2-ungated", "sjd2-ungated", "none", "ar",
                        "SJD2 that judges behind noisy rows, for comparison"}),
};

}  // namespace

std::span<const Composition> compositions() {
  return table;
}

const Composition* find_composition(std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const Composition& entry) { return entry.name == name; });
  return found == table.end() ? nullptr : &*found;
}

const Composition* find_composition(std::string_view decoder, std::string_view coupling) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Composition& entry) {
    return entry.decoder == decoder && (coupling.empty() || entry.coupling == coupling);
  });
  return found == table.end() ? nullptr : &*found;
}

double pass_bound(const Composition& composition, const Plan& plan, std::int64_t tokens) {
  if (!composition.uses_window) return 1.0;
  const auto n = static_cast<double>(tokens);
  const auto w = static_cast<double>(plan.window);
  if (!composition.uses_noise) return w;
  const auto k = static_cast<double>(plan.levels);
  return n / (k + (n - k) * k / w);
}

}  // namespace sjd::paint
