// SPDX-License-Identifier: Apache-2.0
// Compiling is passing: every concept is true of a small model and false of the same model without
// one member; every composition knows whether it is lossless.
#include "sjd/sjd.hpp"
#include "support/enumerating_gate.hpp"
#include "support/scripted_gate.hpp"
#include "support/table_host.hpp"
#include "support/wrong_rules.hpp"

namespace sjd::test {
namespace {

// A complete model; each of the classes behind it hides one member.
struct Complete {
  using Memory = HostMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, int, MatrixView<float>) {}
  void forward(const ForwardPass<>&) {}
};
struct Noisy : Complete {
  MatrixView<const float> embedding_table() const { return {}; }
  NoiseContract noise_contract() const { return {}; }
};
struct NoMemory : Complete {
  using Memory = void;

 private:
  using Complete::forward;
};
struct NoVocab : Complete {
 private:
  using Complete::vocab_size;
};
struct NoSequences : Complete {
 private:
  using Complete::max_sequences;
};
struct NoPrefill : Complete {
 private:
  using Complete::prefill;
};
struct NoForward : Complete {
 private:
  using Complete::forward;
};
struct NoPrompt {
  using Memory = HostMemory;
};
struct NoTable : Noisy {
 private:
  using Noisy::embedding_table;
};
struct NoContract : Noisy {
 private:
  using Noisy::noise_contract;
};

static_assert(TokenModel<Complete> && !NoisyModel<Complete>);
static_assert(TokenModel<Noisy> && NoisyModel<Noisy>);
static_assert(TokenModel<TableHost> && NoisyModel<TableHost>);
static_assert(!TokenModel<NoVocab> && !TokenModel<NoSequences> && !TokenModel<NoPrefill>);
static_assert(!TokenModel<NoForward> && !TokenModel<NoPrompt> && !TokenModel<NoMemory>);
static_assert(!TokenModel<int>);
static_assert(TokenModel<NoTable> && !NoisyModel<NoTable>);
static_assert(TokenModel<NoContract> && !NoisyModel<NoContract>);

// Gates: the Gumbel draw is a level of its own.
struct NoQuantile : PhiloxGate {
 private:
  using PhiloxGate::quantile;
};
static_assert(RandomGate<PhiloxGate> && GumbelGate<PhiloxGate>);
static_assert(RandomGate<EnumeratingGate> && !GumbelGate<EnumeratingGate>);
static_assert(RandomGate<ScriptedGate> && !RandomGate<NoQuantile> && !RandomGate<Complete>);

// Policies by role.
static_assert(Policy<FixedWindow> && PolicyOf<FixedWindow, role::window>);
static_assert(!PolicyOf<FixedWindow, role::grammar> && !Policy<Complete>);
static_assert(WindowPolicy<FixedWindow> && !WindowPolicy<NoGrammar>);
static_assert(AcceptancePolicy<SpeculativeAcceptance, PhiloxGate>);
static_assert(AcceptancePolicy<GumbelEquality, PhiloxGate>);
static_assert(AcceptancePolicy<TargetRedraw, EnumeratingGate>);
static_assert(!AcceptancePolicy<MaximalCoupling, PhiloxGate>);
static_assert(RefinementPolicy<MaximalCoupling, PhiloxGate>);
static_assert(RefinementPolicy<StaleLawCoupling, PhiloxGate>);
static_assert(!RefinementPolicy<SpeculativeAcceptance, PhiloxGate>);
static_assert(InitializationPolicy<UniformTokens, PhiloxGate>);
static_assert(InitializationPolicy<RepeatLeft, EnumeratingGate>);
static_assert(NormalizationPolicy<PerChannelNormalization> && !NormalizationPolicy<RawNoise>);
static_assert(NoiseFeedPolicy<RawNoise> && NoiseFeedPolicy<PosteriorMean>);
static_assert(GrammarPolicy<RowEndGrammar> && !GrammarPolicy<FixedWindow>);

// The trait of compositions.
template <class... Policies>
inline constexpr bool lossless = SpeculativeJacobiDenoiser<TableHost, Policies...>::is_lossless;

static_assert(PlainAr<TableHost>::is_lossless && lossless<>);
static_assert(Sjd<TableHost>::is_lossless && CoupledSjd<TableHost>::is_lossless);
static_assert(Sjd2<TableHost>::is_lossless && CoupledSjd2<TableHost, RawNoise>::is_lossless);
static_assert(GumbelSjd<TableHost>::is_lossless && GumbelSjd2<TableHost>::is_lossless);
static_assert(JacobiGreedy<TableHost>::is_lossless);
static_assert(lossless<QuantileCoupling> && lossless<QuantileEquality, FreshRedraw>);
static_assert(!UngatedSjd2<TableHost>::is_lossless && !lossless<UngatedAcceptance, NoNoise>);
static_assert(!lossless<StaleLawCoupling> && !lossless<NoNoise, StaleLawCoupling>);
static_assert(!lossless<ConfidentKeep> && !lossless<TargetRedraw> && !lossless<AcceptAll>);
// The equality tests never look at the stored law, so a wrong one does no harm.
static_assert(lossless<StaleLawCoupling, QuantileEquality>);

// Noise by default where the model has it; absent policies mean defaults, in any order.
static_assert(SpeculativeJacobiDenoiser<TableHost>::uses_noise);
static_assert(!SpeculativeJacobiDenoiser<Complete>::uses_noise);
using Mixed = SpeculativeJacobiDenoiser<TableHost, RawNoise, FreshRedraw, FixedWindow>;
static_assert(std::is_same_v<Mixed::Window, FixedWindow>);
static_assert(std::is_same_v<Mixed::Refinement, FreshRedraw>);
static_assert(std::is_same_v<Mixed::NoiseFeed, RawNoise>);
static_assert(std::is_same_v<Mixed::Acceptance, SpeculativeAcceptance>);
static_assert(std::is_same_v<Mixed::Schedule, KarrasSchedule>);

// Memory is part of a view's type.
static_assert(!std::is_convertible_v<MatrixView<float>, MatrixView<float, DeviceMemory>>);
static_assert(std::is_convertible_v<MatrixView<float>, MatrixView<const float>>);
static_assert(!std::is_convertible_v<MatrixView<const float>, MatrixView<float>>);

}  // namespace
}  // namespace sjd::test
