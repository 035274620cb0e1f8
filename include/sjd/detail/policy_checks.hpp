// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include "sjd/model.hpp"
#include "sjd/policies/acceptance.hpp"
#include "sjd/policies/corrector.hpp"
#include "sjd/policies/grammar.hpp"
#include "sjd/policies/initialization.hpp"
#include "sjd/policies/noise_feed.hpp"
#include "sjd/policies/normalization.hpp"
#include "sjd/policies/refinement.hpp"
#include "sjd/policies/window.hpp"

namespace sjd::detail {

/// The sentences that the author of a policy reads first when a part of it is missing.
template <class Model, class Gate, class Window, class Acceptance, class Refinement,
          class Initialization, class Normalization, class NoiseFeed, class Corrector,
          class Grammar>
struct PolicyContracts {
  static_assert(RandomGate<Gate>,
                "sjd::RandomGate: what random.gate(seed, sample) returns cannot draw; see "
                "core/random.hpp");
  static_assert(WindowPolicy<Window>,
                "sjd::WindowPolicy: rows(committed, total) or rows(history), or capacity() is "
                "missing; see policies/window.hpp");
  static_assert(AcceptancePolicy<Acceptance, Gate>,
                "sjd::AcceptancePolicy: accept, recover, bonus, is_lossless, clean_prefix_only or "
                "needs_true_law is missing; see policies/acceptance.hpp");
  static_assert(RefinementPolicy<Refinement, Gate>,
                "sjd::RefinementPolicy: refresh(gate, key, slot, target) or tracks_true_law is "
                "missing; see policies/refinement.hpp");
  static_assert(InitializationPolicy<Initialization, Gate>,
                "sjd::InitializationPolicy: enter(gate, key, left, vocab, slot) is missing; see "
                "policies/initialization.hpp");
  static_assert(NormalizationPolicy<Normalization>,
                "sjd::NormalizationPolicy: normalize(table, contract, space) or per_channel is "
                "missing; see policies/normalization.hpp");
  static_assert(NoiseFeedPolicy<NoiseFeed>,
                "sjd::NoiseFeedPolicy: feed(space, rows, scratch, fed) or posterior_mean is "
                "missing; see policies/noise_feed.hpp");
  static_assert(CorrectorPolicy<Corrector, Model>,
                "sjd::CorrectorPolicy: depth, correct(model, context, logits) or reads_hidden is "
                "missing; see policies/corrector.hpp");
  static_assert(!Corrector::reads_hidden || has_hidden_dim<Model>,
                "sjd::HiddenModel: a corrector needs model.hidden_dim() and the rows of "
                "ForwardPass::hidden; give NoCorrector{} to a model without them");
  static_assert(!std::is_same_v<Corrector, HeadCorrector> || has_corrector_head<Model>,
                "sjd::HiddenModel: HeadCorrector needs model.corrector_head(), the head that "
                "ships with the checkpoint");
  static_assert(GrammarPolicy<Grammar>,
                "sjd::GrammarPolicy: a member is missing; see policies/grammar.hpp");
  static constexpr bool hold = true;
};

}  // namespace sjd::detail
