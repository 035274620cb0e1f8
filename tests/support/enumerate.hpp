// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sjd/cpu/rows.hpp"
#include "sjd/policies/window.hpp"
#include "sjd/state.hpp"
#include "support/enumerating_gate.hpp"
#include "support/table_host.hpp"

namespace sjd::test {

using Joint = std::map<std::vector<TokenId>, long double>;

inline long double total_variation(const Joint& a, const Joint& b) {
  long double sum = 0.0L;
  for (const auto& [tokens, p] : a) {
    const auto other = b.find(tokens);
    sum += std::fabs(p - (other == b.end() ? 0.0L : other->second));
  }
  for (const auto& [tokens, p] : b) sum += a.contains(tokens) ? 0.0L : p;
  return sum / 2.0L;
}

/// The joint law of AR sampling, chained from the table law without any decoder.
template <class Grammar = NoGrammar>
Joint autoregressive_joint(const TableLaw& table, const GenerationRequest<TablePrompt>& request,
                           bool greedy = false, const Grammar& grammar = {}) {
  const auto branches = static_cast<std::int64_t>(request.guidance.size()) + 1;
  const std::int64_t vocab = table.options().vocab;
  std::vector<float> logits(static_cast<std::size_t>(branches * vocab));
  const MatrixView<float> rows{logits.data(), branches, vocab};
  cpu::RowPipeline pipeline;
  Joint joint{{{}, 1.0L}};
  for (Position position = 0; position < request.tokens; ++position) {
    Joint longer;
    for (const auto& [tokens, weight] : joint) {
      for (std::int64_t b = 0; b < branches; ++b) {
        std::uint64_t context = table.begin(request.prompt, b, branches);
        for (const TokenId t : tokens) context = table.extend(context, static_cast<Symbol>(t));
        table.logits(context, rows.row(b));
      }
      TokenLaw law;
      pipeline.law(rows, request.guidance, grammar, request.sampling, 0, position, law);
      if (greedy) law.set_point(law.mode());
      for (std::int64_t i = 0; i < law.size(); ++i) {
        std::vector<TokenId> next = tokens;
        next.push_back(law.token(i));
        longer[next] +=
            weight * static_cast<long double>(law.mass_at(i)) / static_cast<long double>(law.sum());
      }
    }
    joint = std::move(longer);
  }
  return joint;
}

/// Everything that decides the rest of a decode, without what the draws do not look at.
struct DecodePoint {
  DecoderState state;
  std::vector<TableCache> caches;
  std::map<Position, Interval> shared;

  friend bool operator==(const DecodePoint&, const DecodePoint&) = default;
};

struct DecodePointHash {
  std::size_t operator()(const DecodePoint& point) const {
    std::uint64_t h = point.state.tokens.size();
    for (const TokenId t : point.state.tokens) h = mix(h ^ static_cast<std::uint64_t>(t));
    for (const Slot& slot : point.state.window) {
      h = mix(h ^ static_cast<std::uint64_t>(slot.token + 16 * slot.level + 2));
      h = mix(h ^ static_cast<std::uint64_t>(slot.age));
      h = mix(h ^ slot.law.sum());
      for (const float z : slot.noisy) h = mix(h ^ std::bit_cast<std::uint32_t>(z));
    }
    for (const TableCache& cache : point.caches) {
      for (const Symbol s : cache.symbols) h = mix(h ^ s);
    }
    for (const std::int64_t n : point.state.statistics.passes_by_rows) {
      h = mix(h ^ static_cast<std::uint64_t>(n));
    }
    for (const auto& [position, known] : point.shared) {
      h = mix(h ^ known.low.part ^ mix(known.high.part + static_cast<std::uint64_t>(position)));
    }
    return h;
  }
};

/// What an enumeration found.
struct Enumerated {
  Joint joint;
  std::int64_t paths = 0;  ///< outcomes of single iterations that were run through the decoder
};

enum class Ages : std::uint8_t { do_not_matter, matter };

/// The window plan of a decoder may look at the counts of its sequence.
template <class Decoder>
inline constexpr bool may_read_counts = false;
template <class Decoder>
requires requires {
  typename Decoder::Window;
}
inline constexpr bool may_read_counts<Decoder> = detail::plans_by_history<typename Decoder::Window>;

enum class Counts : std::uint8_t { matter_if_read, do_not_matter };

/// The exact law of what a decoder commits.
///
/// Iterations are enumerated one by one and equal intermediate points are merged: the decoder state
/// is a value, the table host's cache is one, and so is what is known of the shared noise.
/// The iteration number is left out of the comparison, so are statistics unless the window plan
/// may look at them (a caller who knows that it does not says so), and slot ages unless a policy
/// does; built-in policies draw from none of them.
template <class Decoder>
Enumerated enumerate_decoder(Decoder& decoder, Enumeration& all,
                             const GenerationRequest<TablePrompt>& request,
                             Ages ages = Ages::do_not_matter,
                             Counts counts = Counts::matter_if_read,
                             std::int64_t most_paths = 2'000'000) {
  TableHost& host = decoder.model();
  using Layer = std::unordered_map<DecodePoint, long double, DecodePointHash>;
  std::vector<Layer> layers(static_cast<std::size_t>(request.tokens) + 1);
  Enumerated found;
  DecodePoint now;  // kept from path to path: most paths meet again, and its memory serves them all
  const auto arrive = [&](long double weight) {
    now.state.iteration = 0;
    if (!may_read_counts<Decoder> || counts == Counts::do_not_matter) now.state.statistics = {};
    for (Slot& slot : now.state.window) slot.age = ages == Ages::matter ? slot.age : 0;
    now.caches = host.caches.front();
    if (!host.keep_noisy_rows) {
      for (TableCache& cache : now.caches) cache.settle(now.state.committed() - 1);
    }
    now.shared = all.shared;
    now.shared.erase(now.shared.begin(), now.shared.lower_bound(now.state.committed()));
    if (++found.paths > most_paths) throw std::runtime_error{"too many paths to enumerate"};
    layers.at(static_cast<std::size_t>(now.state.committed()))[now] += weight;
  };
  do {
    all.restart();
    all.shared.clear();
    now.state = decoder.start(0, request);
    arrive(all.weight());
  } while (all.advance());
  for (std::size_t n = 0; n < static_cast<std::size_t>(request.tokens); ++n) {
    for (const auto& [point, weight] : layers[n]) {
      do {
        all.restart();
        all.shared = point.shared;
        host.caches.front() = point.caches;
        now.state = point.state;
        decoder.step({&now.state, 1});
        arrive(weight * all.weight());
      } while (all.advance());
    }
    layers[n].clear();
  }
  for (const auto& [point, weight] : layers.back()) found.joint[point.state.tokens] += weight;
  return found;
}

}  // namespace sjd::test
