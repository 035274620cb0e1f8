// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sjd/cpu/rows.hpp"
#include "sjd/cpu/verify.hpp"
#include "sjd/policies/acceptance.hpp"
#include "sjd/policies/refinement.hpp"
#include "sjd/policies/window.hpp"
#include "support/enumerate.hpp"

/// Rules that were published or shipped and are wrong. Each must be caught by the enumeration.
namespace sjd::test {

/// Maximal coupling that forgets to move q to the law of the refreshed token when it kept it.
struct StaleLawCoupling {
  using role = role::refinement;
  static constexpr bool tracks_true_law = false;

  template <RandomGate Gate>
  void refresh(Gate& gate, DrawKey key, Slot& slot, const TokenLaw& target) const {
    const TokenId before = slot.token;
    const TokenLaw stale = slot.law;
    MaximalCoupling{}.refresh(gate, key, slot, target);
    if (before >= 0 && slot.token == before) slot.law = stale;
  }
};

/// Keeps a draft that the new law likes and then calls that law its own (SJD++ as published).
struct ConfidentKeep {
  using role = role::refinement;
  static constexpr bool tracks_true_law = false;

  template <RandomGate Gate>
  void refresh(Gate& gate, DrawKey key, Slot& slot, const TokenLaw& target) const {
    const MassRatio ratio = mass_ratio(target, slot.law, slot.has_token() ? slot.token : 0);
    const bool keep = slot.has_token() && 2 * ratio.target > ratio.draft;
    if (!keep) FreshRedraw{}.refresh(gate, key, slot, target);
    slot.law = target;
  }
};

/// What the wrong criteria below have in common: the gate is on, and they own up to being wrong.
struct WrongRatioTest : detail::RatioTest {
  using role = role::acceptance;
  static constexpr bool is_lossless = false;
  static constexpr bool clean_prefix_only = true;
  static constexpr bool needs_true_law = true;
};

/// Draws from the target instead of from the residual after a rejection.
struct TargetRedraw : WrongRatioTest {
  template <RandomGate Gate>
  [[nodiscard]] TokenId recover(Gate& gate, DrawKey key, const Slot&,
                                const TokenLaw& target) const {
    return bonus(gate, key, target);
  }
};

/// Accepts every draft.
struct AcceptAll : WrongRatioTest {
  template <RandomGate Gate>
  [[nodiscard]] bool accept(Gate&, DrawKey, const Slot&, const TokenLaw&) const {
    return true;
  }
};

/// A window plan that looks at the draft behind the tip as the pass fed it, before any pass judged
/// it, and closes where it likes the token.
struct PeekingWindow {
  using role = role::window;

  TableHost* host = nullptr;
  std::int64_t widest = 4;

  [[nodiscard]] std::int64_t rows(std::int64_t committed, std::int64_t total) const {
    const std::vector<Symbol>& fed = host->caches.front().front().symbols;
    const auto next = static_cast<std::size_t>(committed);
    const bool likes = next < fed.size() && fed[next] == 0;
    return std::min(likes ? 1 : widest, total - committed);
  }
  [[nodiscard]] std::int64_t capacity() const { return widest; }
};

/// Accepts with probability min(1, 1.02 p/q).
struct GenerousRatio : WrongRatioTest {
  template <RandomGate Gate>
  [[nodiscard]] bool accept(Gate& gate, DrawKey key, const Slot& slot,
                            const TokenLaw& target) const {
    const MassRatio ratio = mass_ratio(target, slot.law, slot.token);
    if (ratio.target == 0) return false;
    key.purpose = Purpose::accept;
    return gate.bernoulli(key, 51 * ratio.target, 50 * ratio.draft);
  }
};

/// Tests the draft with the uniform that drew it: SJD with fresh drafts whose acceptance reuses the
/// counter of the redraw.
struct ReusedUniform : WrongRatioTest {
  template <RandomGate Gate>
  [[nodiscard]] bool accept(Gate& gate, DrawKey key, const Slot& slot,
                            const TokenLaw& target) const {
    const MassRatio ratio = mass_ratio(target, slot.law, slot.token);
    key.iteration -= 1;
    key.purpose = Purpose::refresh;
    return ratio.target > 0 && gate.bernoulli(key, ratio.target, ratio.draft);
  }
};

/// SJD with fresh drafts in which a mate of the batch may cut the commit short: what was accepted
/// beyond the cut keeps its old law and is tested again. With `cut` off it is plain SJD.
///
/// Has just what enumerate_decoder asks for. The mate commits 1 token or as many as it can, with
/// equal probability.
template <class Random>
class BatchMinimumSjd {
 public:
  BatchMinimumSjd(TableHost& host, Random random, std::int64_t window, bool cut)
      : host_{&host}, random_{random}, window_{window}, cut_{cut} {}

  [[nodiscard]] TableHost& model() { return *host_; }

  DecoderState start(std::int32_t sequence, const GenerationRequest<TablePrompt>& request) {
    DecoderState state;
    state.total = request.tokens;
    state.seed = request.seed;
    state.sample = request.sample;
    logits_.resize(static_cast<std::size_t>(host_->vocab_size()));
    host_->prefill(sequence, request.prompt, {logits_.data(), 1, host_->vocab_size()});
    auto gate = random_.gate(state.seed, state.sample);
    state.tokens.push_back(gate.categorical({}, law_of_row(0)));
    fill(gate, state);
    return state;
  }

  void step(std::span<DecoderState> states) {
    DecoderState& state = states.front();
    auto gate = random_.gate(state.seed, state.sample);
    const std::vector<TokenLaw> laws = run_pass(state);
    state.iteration += 1;
    cpu::Verdict verdict = cpu::verify(SpeculativeAcceptance{}, gate, state, state.iteration, laws);
    const std::int64_t accepted = verdict.accepted;
    const Position first = state.committed();
    // Nothing here draws noise, so that its purpose is free for the coin of the mate.
    if (cut_ && accepted > 0 && gate.bernoulli({first, state.iteration, Purpose::noise}, 1, 2)) {
      verdict.accepted = 1;
      verdict.token = -1;
    }
    const auto taken = static_cast<std::size_t>(verdict.committed());
    for (std::int64_t i = 0; i < verdict.accepted; ++i) {
      state.tokens.push_back(state.window[static_cast<std::size_t>(i)].token);
    }
    if (verdict.token >= 0) state.tokens.push_back(verdict.token);
    // Drafts accepted beyond the cut keep token and law; everything behind them is redrawn.
    const auto redrawn = std::max(taken, static_cast<std::size_t>(accepted));
    for (std::size_t i = redrawn; i < state.window.size(); ++i) {
      const DrawKey key{first + static_cast<Position>(i), state.iteration};
      FreshRedraw{}.refresh(gate, key, state.window[i], laws[i]);
    }
    state.window.erase(
        state.window.begin(),
        state.window.begin() + static_cast<std::ptrdiff_t>(std::min(taken, state.window.size())));
    fill(gate, state);
  }

 private:
  TokenLaw law_of_row(std::size_t row) {
    TokenLaw law;
    const std::int64_t vocab = host_->vocab_size();
    const MatrixView<const float> one{logits_.data() + static_cast<std::int64_t>(row) * vocab, 1,
                                      vocab};
    pipeline_.law(one, {}, NoGrammar{}, {}, 0, 0, law);
    return law;
  }

  std::vector<TokenLaw> run_pass(const DecoderState& state) {
    std::vector<InputRow> rows;
    rows.push_back({.position = state.committed() - 1, .token = state.tokens.back()});
    for (const Slot& slot : state.window) {
      rows.push_back({.position = rows.back().position + 1, .token = slot.token});
    }
    const KeepLength keep{0, 0, state.committed() - 1};
    logits_.resize(rows.size() * static_cast<std::size_t>(host_->vocab_size()));
    host_->forward({{&keep, 1},
                    rows,
                    {},
                    {logits_.data(), static_cast<std::int64_t>(rows.size()), host_->vocab_size()}});
    std::vector<TokenLaw> laws;
    for (std::size_t j = 0; j < rows.size(); ++j) laws.push_back(law_of_row(j));
    return laws;
  }

  template <RandomGate Gate>
  void fill(Gate& gate, DecoderState& state) {
    const std::int64_t slots = std::min(window_, state.total - state.committed()) - 1;
    while (static_cast<std::int64_t>(state.window.size()) < slots) {
      const auto behind = static_cast<Position>(state.window.size());
      Slot slot;
      slot.law = TokenLaw::uniform(host_->vocab_size());
      slot.token =
          gate.categorical({state.committed() + behind, state.iteration, Purpose::entry}, slot.law);
      state.window.push_back(slot);
    }
  }

  TableHost* host_;
  Random random_;
  std::int64_t window_;
  bool cut_;
  std::vector<float> logits_;
  cpu::RowPipeline pipeline_;
};

}  // namespace sjd::test
