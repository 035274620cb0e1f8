// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "sjd/core/matrix_view.hpp"
#include "sjd/hosts/kernels.hpp"
#include "sjd/hosts/linear.hpp"
#include "sjd/hosts/llama_cache.hpp"
#include "sjd/hosts/llama_config.hpp"
#include "sjd/hosts/llama_plan.hpp"
#include "sjd/hosts/llama_weights.hpp"
#include "sjd/hosts/thread_pool.hpp"

namespace sjd::hosts {

/// The transformer itself: hidden rows in, logits out. LlamaHost checks what reaches it.
///
/// Few rows: the threads share the panels of every product, and so wait for each other many times a
/// layer. Many rows: each thread takes a part of them through all layers, see LlamaPlan.
///
/// Row-invariant: every sum runs in an order that is fixed by the width of the model or by absolute
/// positions, so the bits of a row depend on its own prefix only, whatever rides in the same pass,
/// on how many threads, with which instruction set.
class LlamaEngine {
 public:
  /// Rows of one run; longer passes are cut, which changes no bits.
  static constexpr std::int64_t rows_per_run = 128;

  LlamaEngine(const LlamaConfig& config, const LlamaWeights& weights, std::int64_t slots,
              int threads, InstructionSet instruction_set)
      : config_{config},
        weights_{weights},
        kernel_{kernels(instruction_set)},
        pool_{threads},
        plan_{static_cast<std::size_t>(rows_per_run * config.kv_heads), threads},
        cache_{config, slots, weights.storage},
        hidden_{rows_per_run * config.hidden_size},
        normed_{weights.storage, rows_per_run, config.hidden_size},
        qkv_{rows_per_run * (config.heads + 2 * config.kv_heads) * config.head_dim},
        queries_{weights.storage, rows_per_run * config.heads, config.head_dim},
        attended_{weights.storage, rows_per_run, config.heads * config.head_dim},
        activated_{weights.storage, rows_per_run, config.intermediate_size} {
    fill_rotation();
    for (int i = 0; i < threads; ++i) {
      scores_.emplace_back(attention_rows() * group() * cache_.capacity());
      sums_.emplace_back(attention_rows() * group());
      shares_.emplace_back(weights.storage, attention_rows() * group(), cache_.capacity());
      mixed_.emplace_back(attention_rows() * group() * config.head_dim);
      rounded_.emplace_back(config.head_dim);
      gate_up_.emplace_back(rows_per_run * most_pairs * 2 * panel_width);
      row_.emplace_back(std::max(config.hidden_size, most_pairs * panel_width));
    }
  }

  /// Input row `index` of the next run [hidden_size], to be filled by the caller.
  [[nodiscard]] float* hidden(std::int64_t index) const {
    return hidden_.data() + index * config_.hidden_size;
  }

  /// Runs the layers over hidden rows [0, rows.size()) and stores their keys and values.
  ///
  /// shapes  rows: at most rows_per_run; the rows of a slot side by side, their positions
  ///         consecutive
  void run(std::span<const LlamaRow> rows) {
    rows_ = rows;
    plan_.cut(rows, config_.kv_heads, attention_rows(), pool_.threads());
    each_part([&](auto&& workers, const LlamaPart& part) {
      for (std::int64_t index = 0; index < config_.layers; ++index) {
        run_layer(workers, part, index);
      }
    });
  }

  /// Logits of rows [first, first + count) of the last run, and these rows behind the final norm.
  ///
  /// shapes  logits [count, image_vocab_size] at `stride`, overwritten; hidden [count, hidden_size],
  ///         overwritten, or no data
  void logits(std::int64_t first, std::int64_t count, float* logits, std::int64_t stride,
              MatrixView<float> hidden = {}) {
    each_part([&](auto&& workers, const LlamaPart& whole) {
      LlamaPart part = whole;
      part.first = std::max(first, whole.first);
      part.count = std::min(first + count, whole.first + whole.count) - part.first;
      if (part.count <= 0) return;
      norm_rows(workers, part, weights_.norm, hidden, first);
      linear(workers, weights_.image_head, normed_,
             {.first_row = part.first,
              .rows = part.count,
              .y = logits + (part.first - first) * stride,
              .y_stride = stride});
    });
  }

 private:
  /// Panels of gate, and of up, that one task may take.
  static constexpr std::int64_t most_pairs = 4;

  [[nodiscard]] std::int64_t row_count() const { return static_cast<std::int64_t>(rows_.size()); }
  [[nodiscard]] const LlamaRow& row(std::int64_t index) const {
    return rows_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] std::int64_t group() const { return config_.heads / config_.kv_heads; }
  /// Rows whose queries share one product: what two tiles, or a block of registers, take.
  [[nodiscard]] std::int64_t attention_rows() const {
    return std::max<std::int64_t>(1, (weights_.storage == Storage::bf16 ? 32 : 12) / group());
  }

  void fill_rotation() {
    const std::int64_t half = config_.head_dim / 2;
    cosine_ = AlignedArray<float>{cache_.capacity() * half};
    sine_ = AlignedArray<float>{cache_.capacity() * half};
    for (std::int64_t position = 0; position < cache_.capacity(); ++position) {
      for (std::int64_t i = 0; i < half; ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(2 * half);
        const double angle = static_cast<double>(position) * std::pow(config_.rope_theta, exponent);
        cosine_.data()[position * half + i] = static_cast<float>(std::cos(angle));
        sine_.data()[position * half + i] = static_cast<float>(std::sin(angle));
      }
    }
  }

  /// Calls body(workers, part) for every part; the only part of a small run has the whole pool.
  template <class Body>
  void each_part(Body&& body) {
    const auto parts = plan_.parts();
    if (parts.size() == 1) return body(pool_, parts.front());
    pool_.run(static_cast<std::int64_t>(parts.size()), [&](std::int64_t index, int thread) {
      body(PoolOfOne{thread}, parts[static_cast<std::size_t>(index)]);
    });
  }

  template <class Workers>
  void run_layer(Workers& workers, const LlamaPart& part, std::int64_t index) {
    const LlamaLayer& layer = weights_.layers[static_cast<std::size_t>(index)];
    const std::int64_t qkv_width = layer.qkv.padded_outputs();
    norm_rows(workers, part, layer.input_norm);
    linear(workers, layer.qkv, normed_,
           {.first_row = part.first,
            .rows = part.count,
            .y = qkv_.data() + part.first * qkv_width,
            .y_stride = qkv_width});
    plan_.wait_for_rows_in_front(part, index);
    store_keys(workers, part, layer, index);
    attend(workers, part, index);
    plan_.attended(part, index);
    add_linear(workers, part, layer.output, attended_);
    norm_rows(workers, part, layer.post_norm);
    activate(workers, part, layer);
    add_linear(workers, part, layer.down, activated_);
  }

  /// Calls body(row, thread) for the rows of a part, on several threads where that pays.
  template <class Workers, class Body>
  void each_row(Workers& workers, const LlamaPart& part, Body&& body) {
    const std::int64_t at_once = workers.threads() == 1 ? part.count : 8;
    const std::int64_t end = part.first + part.count;
    workers.run((part.count + at_once - 1) / at_once, [&](std::int64_t task, int thread) {
      const std::int64_t begin = part.first + task * at_once;
      for (std::int64_t i = begin; i < std::min(begin + at_once, end); ++i) {
        body(i, static_cast<std::size_t>(thread));
      }
    });
  }

  /// Fills normed_; `out`, whose row 0 belongs to row `first`, takes the same rows unrounded if it
  /// has data.
  template <class Workers>
  void norm_rows(Workers& workers, const LlamaPart& part, const std::vector<float>& weight,
                 MatrixView<float> out = {}, std::int64_t first = 0) {
    const std::int64_t size = config_.hidden_size;
    each_row(workers, part, [&](std::int64_t i, std::size_t thread) {
      float* normed = out.data == nullptr ? row_[thread].data() : out.row(i - first).data();
      kernel_.rms_norm(hidden(i), weight.data(), normed, size, config_.rms_norm_eps);
      normed_.store(kernel_, i, 0, normed, size);
    });
  }

  /// How many of `units` one task takes: a few tasks for each thread, so that they end together.
  [[nodiscard]] static std::int64_t task_size(std::int64_t units, int threads) {
    return threads == 1 ? units : std::max<std::int64_t>(1, units / (4 * threads));
  }

  /// All panels of `layer`; `part` names rows and outputs.
  template <class Workers>
  void linear(Workers& workers, const PackedLinear& layer, const Activations& x,
              const LinearPart& part) {
    const std::int64_t at_once = task_size(layer.panels(), workers.threads());
    workers.run((layer.panels() + at_once - 1) / at_once, [&](std::int64_t task, int) {
      LinearPart own = part;
      own.first_panel = task * at_once;
      own.panels = std::min(at_once, layer.panels() - own.first_panel);
      own.y += own.first_panel * panel_width;
      layer.apply(kernel_, x, own);
    });
  }

  /// Adds a layer's outputs to the hidden rows.
  template <class Workers>
  void add_linear(Workers& workers, const LlamaPart& part, const PackedLinear& layer,
                  const Activations& x) {
    linear(workers, layer, x,
           {.first_row = part.first,
            .rows = part.count,
            .y = hidden(part.first),
            .y_stride = config_.hidden_size,
            .accumulate = true});
  }

  /// Norms and rotates queries and keys; queries go to [kv_heads, rows, group, head_dim], scaled.
  template <class Workers>
  void store_keys(Workers& workers, const LlamaPart& part, const LlamaLayer& layer,
                  std::int64_t layer_index) {
    const std::int64_t dim = config_.head_dim;
    const std::int64_t width = (config_.heads + 2 * config_.kv_heads) * dim;
    const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dim)));
    each_row(workers, part, [&](std::int64_t i, std::size_t thread) {
      float* q = qkv_.data() + i * width;
      float* k = q + config_.heads * dim;
      const float* v = k + config_.kv_heads * dim;
      for (std::int64_t head = 0; head < config_.heads; ++head) {
        float* own = q + head * dim;
        rotate(layer.q_norm, row(i).position, own);
        kernel_.scale_row(own, scale, own, dim);
        queries_.store(kernel_, (head / group() * row_count() + i) * group() + head % group(), 0,
                       own, dim);
      }
      for (std::int64_t head = 0; head < config_.kv_heads; ++head) {
        rotate(layer.k_norm, row(i).position, k + head * dim);
        cache_.store(kernel_, {row(i).slot, layer_index, head}, row(i).position, k + head * dim,
                     v + head * dim, rounded_[thread].data());
      }
    });
  }

  void rotate(const std::vector<float>& norm, std::int64_t position, float* inout_head) {
    const std::int64_t half = config_.head_dim / 2;
    if (!norm.empty()) {
      kernel_.rms_norm(inout_head, norm.data(), inout_head, 2 * half, config_.rms_norm_eps);
    }
    kernel_.rotate(inout_head, cosine_.data() + position * half, sine_.data() + position * half,
                   inout_head, half);
  }

  template <class Workers>
  void attend(Workers& workers, const LlamaPart& part, std::int64_t layer) {
    const auto tasks = plan_.tasks(part);
    workers.run(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t index, int thread) {
      attend_block(tasks[static_cast<std::size_t>(index)], layer, static_cast<std::size_t>(thread));
    });
  }

  /// Scores, softmax and mixed values of a few query rows. Rows that see fewer keys than the last
  /// one get weight zero behind their own end, which adds nothing to a sum.
  void attend_block(const AttentionTask& task, std::int64_t layer, std::size_t thread) {
    const std::int64_t dim = config_.head_dim;
    const std::int64_t stride = cache_.capacity();
    const CacheHead at{row(task.first).slot, layer, task.head};
    const std::int64_t keys = row(task.first + task.count - 1).position + 1;
    const std::int64_t padded = (keys + panel_width - 1) / panel_width * panel_width;
    const std::int64_t rows = task.count * group();
    float* scores = scores_[thread].data();
    cache_.scores(kernel_, at, queries_, (task.head * row_count() + task.first) * group(), rows,
                  keys, scores);
    float* sums = sums_[thread].data();
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t own_keys = row(task.first + i / group()).position + 1;
      sums[i] = kernel_.softmax_weights(scores + i * stride, own_keys, padded);
      shares_[thread].store(kernel_, i, 0, scores + i * stride, padded);
    }
    float* mixed = mixed_[thread].data();
    cache_.mix(kernel_, at, shares_[thread], rows, keys, mixed);
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t head = task.head * group() + i % group();
      kernel_.scale_row(mixed + i * dim, 1.0F / sums[i], mixed + i * dim, dim);
      attended_.store(kernel_, task.first + i / group(), head * dim, mixed + i * dim, dim);
    }
  }

  /// silu(gate) * up, a few panels of each at once.
  template <class Workers>
  void activate(Workers& workers, const LlamaPart& part, const LlamaLayer& layer) {
    const std::int64_t pairs = config_.intermediate_size / panel_width;
    const std::int64_t at_once = std::min(most_pairs, task_size(pairs, workers.threads()));
    workers.run((pairs + at_once - 1) / at_once, [&](std::int64_t task, int thread_number) {
      const auto thread = static_cast<std::size_t>(thread_number);
      const std::int64_t first = task * at_once;
      const std::int64_t count = std::min(at_once, pairs - first);
      const std::int64_t stride = 2 * count * panel_width;
      float* both = gate_up_[thread].data();
      layer.gate_up.apply(kernel_, normed_,
                          {.first_row = part.first,
                           .rows = part.count,
                           .first_panel = 2 * first,
                           .panels = 2 * count,
                           .y = both,
                           .y_stride = stride});
      float* active = row_[thread].data();
      for (std::int64_t i = 0; i < part.count; ++i) {
        kernel_.silu_multiply(both + i * stride, active, count);
        activated_.store(kernel_, part.first + i, first * panel_width, active, count * panel_width);
      }
    });
  }

  const LlamaConfig& config_;
  const LlamaWeights& weights_;
  const KernelTable& kernel_;
  ThreadPool pool_;
  LlamaPlan plan_;
  LlamaCache cache_;
  AlignedArray<float> cosine_;               // [capacity, head_dim / 2]
  AlignedArray<float> sine_;                 // [capacity, head_dim / 2]
  AlignedArray<float> hidden_;               // [rows_per_run, hidden]
  Activations normed_;                       // [rows_per_run, hidden]
  AlignedArray<float> qkv_;                  // [rows_per_run, (heads + 2 kv_heads) * head_dim]
  Activations queries_;                      // [kv_heads, rows, group, head_dim]
  Activations attended_;                     // [rows_per_run, heads * head_dim]
  Activations activated_;                    // [rows_per_run, intermediate]
  std::vector<AlignedArray<float>> scores_;  // [threads][attention_rows * group, capacity]
  std::vector<AlignedArray<float>> sums_;    // [threads][attention_rows * group]
  std::vector<Activations> shares_;          // [threads][attention_rows * group, capacity]
  std::vector<AlignedArray<float>> mixed_;   // [threads][attention_rows * group, head_dim]
  std::vector<AlignedArray<std::uint16_t>> rounded_;  // [threads][head_dim]
  std::vector<AlignedArray<float>> gate_up_;  // [threads][rows_per_run, most_pairs * 2 * 32]
  std::vector<AlignedArray<float>> row_;      // [threads], one row of something
  std::span<const LlamaRow> rows_;
};

}  // namespace sjd::hosts
