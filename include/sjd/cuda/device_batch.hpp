// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sjd/cuda/batch_image.hpp"
#include "sjd/cuda/decode_device.hpp"
#include "sjd/cuda/sequences.hpp"

namespace sjd::cuda {

/// The state of a batch in the memory of a device; decoder states enter and leave it one by one,
/// while the others stay.
///
/// memory  all of BatchState for shape.sequences, allocated once
template <DecodeDevice Device>
class DeviceBatch {
 public:
  DeviceBatch(Device& device, const BatchShape& shape)
      : shape_{shape},
        staging_{one_of(shape)},
        settings_{device, shape.sequences},
        scales_{device, shape.sequences * shape.most_branches},
        states_{device, shape.sequences},
        tokens_{device, shape.sequences * shape.most_tokens},
        slots_{device, lines()},
        noisy_{device, lines() * shape.dim},
        heads_{device, 2 * lines()},
        ids_{device, 2 * lines() * shape.capacity},
        masses_{device, 2 * lines() * shape.capacity},
        lost_{device, shape.sequences},
        counts_{{{device, lines()},
                 {device, lines()},
                 {device, lines()},
                 {device, lines()},
                 {device, lines()}}} {
    for (std::int64_t place = 0; place < shape.sequences; ++place) clear(place);
  }

  /// The first `sequences` of the batch as kernels take them.
  [[nodiscard]] BatchState view(std::int64_t sequences) const {
    BatchState batch;
    batch.sequences = sequences;
    batch.ring = shape_.ring;
    batch.most_tokens = shape_.most_tokens;
    batch.dim = shape_.dim;
    batch.settings = settings_.data();
    batch.states = states_.data();
    batch.tokens = tokens_.data();
    batch.slots = slots_.data();
    batch.noisy = noisy_.data();
    batch.laws = {heads_.data(), ids_.data(), masses_.data(), 2 * lines(), shape_.capacity};
    batch.counts = {counts_[0].data(), counts_[1].data(), counts_[2].data(), counts_[3].data(),
                    counts_[4].data()};
    batch.lost = lost_.data();
    return batch;
  }

  /// Writes one decoder state as sequence `place`.
  ///
  /// errors  those of BatchImage::put
  void put(std::int64_t place, const DecoderState& state, std::int32_t window_rows) {
    BatchImage& image = staging_;
    image.put(0, state, window_rows);
    image.settings[0].scales = scales_.data() + place * shape_.most_branches;
    write(settings_, place, image.settings);
    write(scales_, place, image.scales);
    write(states_, place, image.states);
    write(tokens_, place, image.tokens);
    write(slots_, place, image.slots);
    write(noisy_, place, image.noisy);
    write(heads_, place, image.heads);
    write(ids_, place, image.ids);
    write(masses_, place, image.masses);
    write(lost_, place, image.lost);
    for (std::size_t kind = 0; kind < counts_.size(); ++kind) {
      write(counts_[kind], place, image.counts[kind]);
    }
  }

  /// What sequence `place` has become; what no kernel knows is left as it is.
  ///
  /// errors  those of check_sequence, if it stands still
  void get(std::int64_t place, DecoderState& inout_state) {
    BatchImage& image = staging_;
    read(states_, place, image.states);
    read(heads_, place, image.heads);
    const SequenceState& state = image.states[0];
    if (state.status != SequenceStatus::running) {
      const std::int64_t law = image.view().law(0, state.bad_position, state.iteration + 1);
      check_sequence(state, image.heads[static_cast<std::size_t>(law)],
                     static_cast<std::int32_t>(place));
    }
    read(tokens_, place, image.tokens);
    read(slots_, place, image.slots);
    read(noisy_, place, image.noisy);
    for (std::size_t kind = 0; kind < counts_.size(); ++kind) {
      read(counts_[kind], place, image.counts[kind]);
    }
    if (state.width > 0) {
      read(ids_, place, image.ids);
      read(masses_, place, image.masses);
    }
    image.get(0, inout_state);
  }

  /// Leaves a place without a sequence.
  void clear(std::int64_t place) {
    const SequenceState none{};
    const SequenceSettings nothing{};
    const std::uint64_t nowhere = BatchState::no_position;
    states_.write(place, {&none, 1});
    settings_.write(place, {&nothing, 1});
    lost_.write(place, {&nowhere, 1});
  }

  /// All states [shape.sequences].
  void read_states(std::span<SequenceState> states) const { states_.read(0, states); }

  [[nodiscard]] const BatchShape& shape() const { return shape_; }

 private:
  static BatchShape one_of(BatchShape shape) {
    shape.sequences = 1;
    return shape;
  }
  [[nodiscard]] std::int64_t lines() const { return shape_.sequences * shape_.ring; }

  template <class T>
  static void write(DeviceArray<T, Device>& to, std::int64_t place, const std::vector<T>& line) {
    to.write(place * static_cast<std::int64_t>(line.size()), line);
  }
  template <class T>
  static void read(const DeviceArray<T, Device>& from, std::int64_t place, std::vector<T>& line) {
    from.read(place * static_cast<std::int64_t>(line.size()), line);
  }

  BatchShape shape_;
  BatchImage staging_;  // of one sequence
  DeviceArray<SequenceSettings, Device> settings_;
  DeviceArray<float, Device> scales_;
  DeviceArray<SequenceState, Device> states_;
  DeviceArray<TokenId, Device> tokens_;
  DeviceArray<DraftSlot, Device> slots_;
  DeviceArray<float, Device> noisy_;
  DeviceArray<LawHead, Device> heads_;
  DeviceArray<TokenId, Device> ids_;
  DeviceArray<std::uint32_t, Device> masses_;
  DeviceArray<std::uint64_t, Device> lost_;
  std::array<DeviceArray<std::uint64_t, Device>, 5> counts_;
};

}  // namespace sjd::cuda
