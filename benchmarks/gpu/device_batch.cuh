// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "sjd/cuda/batch_image.hpp"
#include "sjd/cuda/step.hpp"
#include "sjd/cuda/stream.cuh"

namespace sjd::bench {

/// An array on the device.
template <class T>
struct DeviceArray {
  explicit DeviceArray(std::size_t count) : size{count} {
    cuda::check(cudaMalloc(reinterpret_cast<void**>(&data), (count + 1) * sizeof(T)), "an array");
    cuda::check(cudaMemset(data, 0, (count + 1) * sizeof(T)), "an array");
  }
  explicit DeviceArray(const std::vector<T>& host) : DeviceArray(host.size()) {
    cuda::check(cudaMemcpy(data, host.data(), host.size() * sizeof(T), cudaMemcpyDefault),
                "an array");
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data); }

  T* data = nullptr;
  std::size_t size = 0;
};

struct BatchSizes {
  std::int64_t sequences = 1;
  std::int64_t rows = 96;
  std::int64_t vocab = 8192;
  std::int64_t top_k = 2000;
  std::int64_t dim = 0;  ///< 0: no noise
  float spread = 2.5F;   ///< standard deviation of the logits
};

/// Words from one array to another; a kernel, since a copy of a graph runs on another engine.
static __global__ void copy_kernel(const std::uint32_t* from, std::uint32_t* to,
                                   std::int64_t count) {
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

/// A batch in the middle of long pictures, with random logits of two guidance branches in bf16.
/// The logits come in several copies, larger than the second-level cache together.
class DeviceBatch {
 public:
  explicit DeviceBatch(const BatchSizes& sizes)
      : sizes_{sizes},
        shape_{sizes.sequences, sizes.rows, most_tokens, sizes.dim, sizes.top_k, branches},
        image_{filled(sizes, shape_)},
        copies_{copies_of(sizes)},
        logits_{random_logits(sizes, copies_)},
        clean_{static_cast<std::size_t>(sizes.vocab * sizes.dim)},
        mean_{static_cast<std::size_t>(sizes.dim)},
        scale_{static_cast<std::size_t>(sizes.dim)},
        embeddings_{static_cast<std::size_t>(sizes.sequences * sizes.rows * sizes.dim)},
        input_{static_cast<std::size_t>(sizes.sequences * branches * sizes.rows)},
        tasks_{static_cast<std::size_t>(sizes.sequences * sizes.rows)},
        scales_{std::vector<float>(1, 3.0F)},
        settings_{settings_of(sizes)},
        states_{image_.states},
        saved_{image_.states},
        tokens_{image_.tokens},
        slots_{image_.slots},
        saved_slots_{image_.slots},
        noisy_{image_.noisy},
        heads_{image_.heads},
        ids_{image_.ids.size()},
        masses_{image_.masses.size()},
        lost_{image_.lost},
        counts_{5 * static_cast<std::size_t>(sizes.sequences * sizes.rows)},
        coefficients_{lines_.coefficients},
        levels_{lines_.checkpoint_level},
        keys_{static_cast<std::size_t>(sizes.sequences * sizes.rows * sizes.vocab)},
        parts_{static_cast<std::size_t>(sizes.sequences * sizes.rows * (sizes.vocab / 8192 + 2))} {
    lay_out();
  }

  cuda::StepArguments<cuda::Bf16> step{};

  /// The next call of rows() reads copy i of the logits.
  void use_logits(int i) { step.rows.logits.data = logits(i); }

  /// Copy i of the logits: [branches, rows, vocab] of each sequence.
  [[nodiscard]] const cuda::Bf16* logits(int i) const {
    return logits_.data + i % copies_ * logits_of_a_copy();
  }

  /// Runs a few steps, so that windows, laws and rows are those of the middle of a picture.
  void settle() {
    for (int i = 0; i < 5; ++i) {
      use_logits(i);
      cuda::Stream stream;
      cuda::decode_step(stream, step);
    }
    cuda::check(cudaDeviceSynchronize(), "the first steps");
    put(nullptr, states_, saved_);
    put(nullptr, slots_, saved_slots_);
    use_logits(5);
    cuda::Stream stream;
    cuda::rows(stream, step.plan, step.rows);
    cuda::check(cudaDeviceSynchronize(), "the laws");
  }

  /// Puts the states back to where settle() left them.
  void restore_states(cudaStream_t stream) { put(stream, saved_, states_); }
  /// The same for the drafts, which would lose their noise in a few windows.
  void restore_slots(cudaStream_t stream) { put(stream, saved_slots_, slots_); }

 private:
  static constexpr std::int64_t branches = 2;
  static constexpr std::int64_t most_tokens = 1 << 18;  // no picture ends while it is timed

  template <class T>
  static void put(cudaStream_t stream, const DeviceArray<T>& from, DeviceArray<T>& to) {
    static_assert(sizeof(T) % sizeof(std::uint32_t) == 0);
    copy_kernel<<<1, 1024, 0, stream>>>(
        reinterpret_cast<const std::uint32_t*>(from.data),
        reinterpret_cast<std::uint32_t*>(to.data),
        static_cast<std::int64_t>(from.size * sizeof(T) / sizeof(std::uint32_t)));
  }

  [[nodiscard]] std::int64_t logits_of_a_copy() const {
    return sizes_.sequences * branches * sizes_.rows * sizes_.vocab;
  }

  static int copies_of(const BatchSizes& sizes) {
    const std::int64_t bytes = sizes.sequences * branches * sizes.rows * sizes.vocab * 2;
    return static_cast<int>(1 + (std::int64_t{128} << 20) / bytes);
  }

  /// A sum of four uniforms; a standard deviation of 2.5 is that of real laws after guidance.
  static std::vector<cuda::Bf16> random_logits(const BatchSizes& sizes, int copies) {
    std::mt19937 random{1};
    std::vector<cuda::Bf16> pool(1 << 20);
    for (cuda::Bf16& z : pool) {
      float x = 0.0F;
      for (int i = 0; i < 4; ++i) x += static_cast<float>(random() >> 8) / 16777216.0F - 0.5F;
      z = {static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x * 1.732F * sizes.spread) >>
                                      16)};
    }
    const auto count =
        static_cast<std::size_t>(copies * sizes.sequences * branches * sizes.rows * sizes.vocab);
    std::vector<cuda::Bf16> logits(count);
    for (std::size_t i = 0; i < count; ++i) logits[i] = pool[(i + i / 1048573) % pool.size()];
    return logits;
  }

  static cuda::BatchImage filled(const BatchSizes& sizes, const cuda::BatchShape& shape) {
    cuda::BatchImage image{shape};
    DecoderState state;
    state.total = shape.most_tokens;
    state.guidance = {3.0F};
    for (int i = 0; i < 16; ++i) state.tokens.push_back(i);
    for (std::int64_t i = 1; i < sizes.rows; ++i) {
      Slot slot;
      slot.token = static_cast<TokenId>(i % sizes.vocab);
      slot.law = TokenLaw::uniform(sizes.vocab);
      state.window.push_back(slot);
    }
    for (std::int64_t s = 0; s < sizes.sequences; ++s) {
      state.sample = static_cast<std::uint64_t>(s);
      image.put(s, state, static_cast<std::int32_t>(sizes.rows));
    }
    return image;
  }

  std::vector<cuda::SequenceSettings> settings_of(const BatchSizes& sizes) const {
    std::vector<cuda::SequenceSettings> settings = image_.settings;
    for (auto& one : settings) {
      one.scales = scales_.data;
      one.sampling.top_k = sizes.top_k;
    }
    return settings;
  }

  /// Arguments over the device arrays, and the rows of the first pass.
  void lay_out() {
    cuda::BatchState& batch = step.sequences.batch;
    batch = image_.view();
    batch.settings = settings_.data;
    batch.states = states_.data;
    batch.tokens = tokens_.data;
    batch.slots = slots_.data;
    batch.noisy = noisy_.data;
    batch.laws = {heads_.data, ids_.data, masses_.data, static_cast<std::int64_t>(heads_.size),
                  sizes_.top_k};
    const std::int64_t line = sizes_.sequences * sizes_.rows;
    batch.counts = {counts_.data, counts_.data + line, counts_.data + 2 * line,
                    counts_.data + 3 * line, counts_.data + 4 * line};
    batch.lost = lost_.data;
    step.plan = cuda::plan_rows(sizes_.vocab, line, cuda::device_limits());
    step.rows.logits = {logits_.data, line * branches, sizes_.vocab, sizes_.vocab};
    step.rows.tasks = tasks_.data;
    step.rows.task_count = line;
    step.rows.settings = settings_.data;
    step.rows.laws = batch.laws;
    if (step.plan.split) step.rows.workspace = {keys_.data, parts_.data};
    cuda::WindowArguments& w = step.window;
    w.batch = batch;
    if (sizes_.dim > 0) {
      w.noise = {schedule_, schedule_.levels, coefficients_.data, levels_.data};
    }
    w.vocab = sizes_.vocab;
    w.rows = sizes_.rows;
    w.branches = branches;
    w.clean = clean_.data;
    w.mean = mean_.data;
    w.scale = scale_.data;
    w.embeddings = sizes_.dim > 0 ? embeddings_.data : nullptr;
    w.input = input_.data;
    w.tasks = tasks_.data;
    first_tasks();
  }

  /// What the window kernel would have written before this pass.
  void first_tasks() {
    std::vector<cuda::RowTask> tasks;
    for (std::int64_t s = 0; s < sizes_.sequences; ++s) {
      const cuda::SequenceState& state = image_.states[static_cast<std::size_t>(s)];
      for (std::int64_t row = 0; row < sizes_.rows; ++row) {
        const Position position = state.committed + row;
        tasks.push_back({static_cast<std::int32_t>(s), position, state.iteration + 1,
                         s * branches * sizes_.rows + row, sizes_.rows,
                         step.sequences.batch.law(s, position, state.iteration + 1)});
      }
    }
    cuda::check(cudaMemcpy(tasks_.data, tasks.data(), tasks.size() * sizeof(cuda::RowTask),
                           cudaMemcpyDefault),
                "the first rows");
  }

  BatchSizes sizes_;
  cuda::BatchShape shape_;
  KarrasSchedule schedule_{.levels = 13};
  cuda::NoiseLines lines_{schedule_};
  cuda::BatchImage image_;
  int copies_;
  DeviceArray<cuda::Bf16> logits_;                // [copies, sequences, branches, rows, vocab]
  DeviceArray<float> clean_;                      // [vocab, dim]
  DeviceArray<float> mean_;                       // [dim]
  DeviceArray<float> scale_;                      // [dim]
  DeviceArray<float> embeddings_;                 // [sequences x rows, dim]
  DeviceArray<InputRow> input_;                   // [sequences, branches, rows]
  DeviceArray<cuda::RowTask> tasks_;              // [sequences, rows]
  DeviceArray<float> scales_;                     // [1], of every sequence
  DeviceArray<cuda::SequenceSettings> settings_;  // [sequences]
  DeviceArray<cuda::SequenceState> states_;       // [sequences]
  DeviceArray<cuda::SequenceState> saved_;        // [sequences]
  DeviceArray<TokenId> tokens_;                   // [sequences, most tokens]
  DeviceArray<cuda::DraftSlot> slots_;            // [sequences, ring]
  DeviceArray<cuda::DraftSlot> saved_slots_;      // [sequences, ring]
  DeviceArray<float> noisy_;                      // [sequences, ring, dim]
  DeviceArray<cuda::LawHead> heads_;              // [sequences, 2, ring]
  DeviceArray<TokenId> ids_;                      // [sequences, 2, ring, top_k]
  DeviceArray<std::uint32_t> masses_;             // [sequences, 2, ring, top_k]
  DeviceArray<std::uint64_t> lost_;               // [sequences]
  DeviceArray<std::uint64_t> counts_;             // [5, sequences, ring]
  DeviceArray<NoiseCoefficients> coefficients_;   // [levels + 1]
  DeviceArray<std::int32_t> levels_;              // [levels + 1]
  DeviceArray<std::uint32_t> keys_;               // [sequences x rows, vocab], used if split
  DeviceArray<cuda::RowPart> parts_;              // [sequences x rows, slices], used if split
};

}  // namespace sjd::bench
