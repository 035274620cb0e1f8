// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <variant>

#include "sjd/denoiser.hpp"

/// Policies of one role of which one is chosen at run time: one compiled decoder then runs a whole
/// axis of compositions. Each forwards to the real policy.
namespace sjd::test {

template <class... P>
struct AnyWindow {
  using role = role::window;
  std::variant<P...> chosen;

  [[nodiscard]] std::int64_t rows(const WindowHistory& history) const {
    return std::visit([&](const auto& p) { return detail::window_rows(p, history); }, chosen);
  }
  [[nodiscard]] std::int64_t capacity() const {
    return std::visit([](const auto& p) { return p.capacity(); }, chosen);
  }
};

template <class... P>
struct AnyRefinement {
  using role = role::refinement;
  static constexpr bool tracks_true_law = (P::tracks_true_law && ...);
  std::variant<P...> chosen;

  template <RandomGate Gate>
  void refresh(Gate& gate, DrawKey key, Slot& slot, const TokenLaw& target) const {
    std::visit([&](const auto& p) { p.refresh(gate, key, slot, target); }, chosen);
  }
};

template <class... P>
struct AnyInitialization {
  using role = role::initialization;
  std::variant<P...> chosen;

  template <RandomGate Gate>
  void enter(Gate& gate, DrawKey key, TokenId left, std::int64_t vocab, Slot& slot) const {
    std::visit([&](const auto& p) { p.enter(gate, key, left, vocab, slot); }, chosen);
  }
};

/// The host must state the flag below, whatever is chosen.
template <class... P>
struct AnyNoiseFeed {
  using role = role::noise_feed;
  static constexpr bool posterior_mean = true;  // some of them need its tables
  std::variant<P...> chosen;

  void feed(const EmbeddingSpace& space, std::span<const NoisyRow> rows,
            std::vector<float>& scratch, MatrixView<float> fed) const {
    std::visit([&](const auto& p) { p.feed(space, rows, scratch, fed); }, chosen);
  }
};

/// The host must state the flag below, whatever is chosen.
template <class... P>
struct AnyNormalization {
  using role = role::normalization;
  static constexpr bool per_channel = false;
  std::variant<P...> chosen;

  void normalize(MatrixView<const float> table, const NoiseContract& contract,
                 EmbeddingSpace& space) const {
    std::visit([&](const auto& p) { p.normalize(table, contract, space); }, chosen);
  }
};

/// A variant of the alternative with that index, default-constructed.
template <class Variant, std::size_t I = 0>
[[nodiscard]] Variant alternative(std::uint64_t index) {
  if constexpr (I + 1 < std::variant_size_v<Variant>) {
    if (index > I) return alternative<Variant, I + 1>(index);
  }
  return Variant{std::in_place_index<I>};
}

}  // namespace sjd::test
