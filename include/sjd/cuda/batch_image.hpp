// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sjd/core/draw.hpp"
#include "sjd/core/error.hpp"
#include "sjd/cuda/batch_state.hpp"
#include "sjd/state.hpp"

namespace sjd::cuda {

/// Sizes of a batch.
struct BatchShape {
  std::int64_t sequences = 1;
  std::int64_t ring = 32;        ///< >= rows of the widest pass
  std::int64_t most_tokens = 0;  ///< of a finished picture
  std::int64_t dim = 0;          ///< 0 without noise
  std::int64_t capacity = 0;     ///< tokens of a law, see LawTable
  std::int64_t most_branches = 1;
  std::int32_t levels = 0;  ///< of the noise; 0 without
};

namespace detail {
/// In the order of BatchCounts; `Statistics` may be const.
template <class Statistics>
auto counts_of(Statistics& s) {
  return std::array{&s.judged_by_slot, &s.accepted_by_slot, &s.judged_by_age, &s.accepted_by_age,
                    &s.passes_by_rows};
}
}  // namespace detail

/// A batch in host memory, as the kernels lay it out: where decoder states are turned into arrays
/// and back. The host executor runs on it as it is; for a device, its arrays are copied.
class BatchImage {
 public:
  explicit BatchImage(const BatchShape& shape)
      : shape_{shape},
        settings(size(shape.sequences)),
        scales(size(shape.sequences * shape.most_branches)),
        states(size(shape.sequences)),
        tokens(size(shape.sequences * shape.most_tokens), -1),
        slots(size(shape.sequences * shape.ring)),
        noisy(size(shape.sequences * shape.ring * shape.dim)),
        heads(size(2 * shape.sequences * shape.ring)),
        ids(size(2 * shape.sequences * shape.ring * shape.capacity)),
        masses(ids.size()),
        lost(size(shape.sequences), BatchState::no_position) {
    for (auto& line : counts) line.resize(size(shape.sequences * shape.ring));
  }

  /// The image as kernels take it; valid while the image lives and is not moved.
  [[nodiscard]] BatchState view() {
    BatchState batch;
    batch.sequences = shape_.sequences;
    batch.ring = shape_.ring;
    batch.most_tokens = shape_.most_tokens;
    batch.dim = shape_.dim;
    batch.settings = settings.data();
    batch.states = states.data();
    batch.tokens = tokens.data();
    batch.slots = slots.data();
    batch.noisy = noisy.data();
    batch.laws = {heads.data(), ids.data(), masses.data(), static_cast<std::int64_t>(heads.size()),
                  shape_.capacity};
    batch.counts = {counts[0].data(), counts[1].data(), counts[2].data(), counts[3].data(),
                    counts[4].data()};
    batch.lost = lost.data();
    return batch;
  }

  /// Writes one decoder state as sequence `place` of the batch.
  ///
  /// errors  contract, naming the state's sequence and the slot, for numbers that the arrays have no
  ///         room for; the image is then as it was
  void put(std::int64_t place, const DecoderState& state, std::int32_t window_rows) {
    check(state, window_rows);
    put_settings(place, state);
    SequenceState& to = states[size(place)];
    to = {};
    to.total = state.total;
    to.committed = state.committed();
    to.iteration = state.iteration;
    to.window_rows = window_rows;
    to.width = static_cast<std::int32_t>(state.window.size());
    to.forward_passes = state.statistics.forward_passes;
    to.rows = state.statistics.rows;
    to.accepted_in_all = state.statistics.accepted;
    to.recovered_in_all = state.statistics.recovered;
    to.bonus_in_all = state.statistics.bonus;
    lost[size(place)] = BatchState::no_position;
    std::copy(state.tokens.begin(), state.tokens.end(),
              tokens.begin() + place * shape_.most_tokens);
    for (std::size_t i = 0; i < state.window.size(); ++i) {
      put_slot(place, to.committed + static_cast<Position>(i), state.iteration, state.window[i]);
    }
    copy_counts(place, state.statistics);
  }

  /// What sequence `place` has become; what no kernel knows is left as it is.
  void get(std::int64_t place, DecoderState& inout_state) const {
    const SequenceState& from = states[size(place)];
    inout_state.iteration = from.iteration;
    const auto first = tokens.begin() + place * shape_.most_tokens;
    inout_state.tokens.assign(first, first + from.committed);
    inout_state.window.resize(size(from.width));
    for (std::int32_t i = 0; i < from.width; ++i) {
      get_slot(place, from.committed + i, from.iteration, inout_state.window[size(i)]);
    }
    DecodeStatistics& s = inout_state.statistics;
    s.forward_passes = from.forward_passes;
    s.rows = from.rows;
    s.accepted = from.accepted_in_all;
    s.recovered = from.recovered_in_all;
    s.bonus = from.bonus_in_all;
    std::int64_t kind = 0;
    for (auto* into : detail::counts_of(s)) {
      const auto line = counts[size(kind++)].begin() + place * shape_.ring;
      into->assign(line, line + shape_.ring);
      while (!into->empty() && into->back() == 0) into->pop_back();
    }
  }

 private:
  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

  [[nodiscard]] std::int64_t law(std::int64_t place, Position position, std::int64_t pass) const {
    BatchState rule;
    rule.ring = shape_.ring;
    return rule.law(place, position, pass);
  }

  /// What of a state leads the copy or a kernel behind an array, or null.
  [[nodiscard]] const char* fault(const DecoderState& state, std::int32_t window_rows) const {
    const std::int64_t width = std::ssize(state.window);
    if (state.total > shape_.most_tokens || window_rows > shape_.ring || width >= shape_.ring ||
        state.branches() > shape_.most_branches) {
      return "it is larger than the batch";
    }
    const std::int64_t missing = state.total - state.committed();
    if (state.tokens.empty() || missing < 0) return "its tokens are none of its picture";
    if (width > 0 && width >= missing) return "its window reaches behind the picture";
    if (state.iteration < 0) return "its iteration is below 0";
    for (const auto* line : detail::counts_of(state.statistics)) {
      if (std::ssize(*line) > shape_.ring) return "its counters are longer than the batch";
    }
    return nullptr;
  }
  /// The same of the slot that many places behind the tip, from 1.
  [[nodiscard]] const char* fault(const Slot& slot, std::int64_t number) const {
    if (slot.level < 0 || slot.level > shape_.levels) return "its level is of another schedule";
    // It may be judged as late as it is slot 1, a pass older for every place until then.
    if (slot.age < 0 || slot.age > shape_.ring - number) return "it is older than the batch counts";
    if (std::ssize(slot.noisy) != (slot.level > 0 ? shape_.dim : 0)) {
      return "its noisy embedding has another length";
    }
    if (std::ssize(slot.law.tokens()) > shape_.capacity) return "its law is larger than the batch";
    return nullptr;
  }

  void check(const DecoderState& state, std::int32_t window_rows) const {
    const auto refuse = [&](const std::string& what, Position position) {
      throw Error{
          ErrorCode::contract,
          "BatchImage: the state of sequence " + std::to_string(state.sequence) + ": " + what,
          state.sequence, position};
    };
    const Position tip = state.committed() - 1;
    if (const char* what = fault(state, window_rows)) refuse(what, tip);
    std::int64_t number = 0;
    for (const Slot& slot : state.window) {
      number += 1;
      if (const char* what = fault(slot, number)) {
        refuse("slot " + std::to_string(number) + ": " + what, tip + number);
      }
    }
  }

  void put_settings(std::int64_t place, const DecoderState& state) {
    float* own = scales.data() + place * shape_.most_branches;
    std::copy(state.guidance.begin(), state.guidance.end(), own);
    settings[size(place)] = {mix_key(state.seed, state.sample), state.sampling, state.branches(),
                             own};
  }

  void put_slot(std::int64_t place, Position position, std::int64_t pass, const Slot& slot) {
    const std::int64_t at = place * shape_.ring + position % shape_.ring;
    slots[size(at)] = {slot.level, slot.age, slot.token};
    std::copy(slot.noisy.begin(), slot.noisy.end(), noisy.begin() + at * shape_.dim);
    const std::int64_t to = law(place, position, pass);
    LawHead& head = heads[size(to)];
    head = {slot.law.sum(), 0, slot.law.kind(), RowStatus::ok, -1, -1};
    if (slot.law.kind() == TokenLaw::Kind::point) head.point = slot.law.token(0);
    if (slot.law.kind() != TokenLaw::Kind::list) return;
    head.size = static_cast<std::int32_t>(slot.law.size());
    for (std::int64_t i = 0; i < slot.law.size(); ++i) {
      ids[size(to * shape_.capacity + i)] = slot.law.token(i);
      masses[size(to * shape_.capacity + i)] = slot.law.mass_at(i);
    }
  }

  void get_slot(std::int64_t place, Position position, std::int64_t pass, Slot& to) const {
    const std::int64_t at = place * shape_.ring + position % shape_.ring;
    const DraftSlot& slot = slots[size(at)];
    to.level = slot.level;
    to.age = slot.age;
    to.token = slot.token;
    const auto row = noisy.begin() + at * shape_.dim;
    to.noisy.assign(row, row + (slot.level > 0 ? shape_.dim : 0));
    const std::int64_t from = law(place, position, pass);
    const LawHead& head = heads[size(from)];
    to.law.clear();
    if (head.kind == TokenLaw::Kind::uniform) {
      to.law = TokenLaw::uniform(static_cast<std::int64_t>(head.sum));
    } else if (head.kind == TokenLaw::Kind::point) {
      to.law.set_point(head.point);
    } else if (head.kind == TokenLaw::Kind::list) {
      const std::size_t first = size(from * shape_.capacity);
      to.law.set_list({ids.data() + first, size(head.size)},
                      {masses.data() + first, size(head.size)});
    }
  }

  void copy_counts(std::int64_t place, const DecodeStatistics& s) {
    std::int64_t kind = 0;
    for (const auto* from : detail::counts_of(s)) {
      const auto line = counts[size(kind++)].begin() + place * shape_.ring;
      std::fill(line, line + shape_.ring, std::uint64_t{0});
      std::copy(from->begin(), from->end(), line);
    }
  }

  BatchShape shape_;

 public:
  std::vector<SequenceSettings> settings;  // [sequences]
  std::vector<float> scales;               // [sequences, most_branches]
  std::vector<SequenceState> states;       // [sequences]
  std::vector<TokenId> tokens;             // [sequences, most_tokens]
  std::vector<DraftSlot> slots;            // [sequences, ring]
  std::vector<float> noisy;                // [sequences, ring, dim]
  std::vector<LawHead> heads;              // [sequences, 2, ring]
  std::vector<TokenId> ids;                // [sequences, 2, ring, capacity]
  std::vector<std::uint32_t> masses;       // [sequences, 2, ring, capacity]
  std::vector<std::uint64_t> lost;         // [sequences]
  std::vector<std::uint64_t> counts[5];    // [sequences, ring], as in BatchCounts
};

}  // namespace sjd::cuda
