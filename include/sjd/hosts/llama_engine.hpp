// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "sjd/hosts/kernels.hpp"
#include "sjd/hosts/linear.hpp"
#include "sjd/hosts/llama_cache.hpp"
#include "sjd/hosts/llama_config.hpp"
#include "sjd/hosts/llama_weights.hpp"
#include "sjd/hosts/thread_pool.hpp"

namespace sjd::hosts {

/// Where one row of a pass stands.
struct LlamaRow {
  std::int64_t slot = 0;      ///< which KV cache
  std::int64_t position = 0;  ///< counted from the first word of the prompt
};

/// The transformer itself: hidden rows in, logits out. LlamaHost checks what reaches it.
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
        cache_{config, slots},
        hidden_{rows_per_run * config.hidden_size},
        normed_{weights.storage, rows_per_run, config.hidden_size},
        qkv_{rows_per_run * (config.heads + 2 * config.kv_heads) * config.head_dim},
        queries_{rows_per_run * config.heads * config.head_dim},
        attended_{weights.storage, rows_per_run, config.heads * config.head_dim},
        activated_{weights.storage, rows_per_run, config.intermediate_size} {
    tasks_.reserve(static_cast<std::size_t>(rows_per_run * config.kv_heads));
    fill_rotation();
    for (int i = 0; i < threads; ++i) {
      scores_.emplace_back(attention_rows() * group() * cache_.capacity());
      sums_.emplace_back(attention_rows() * group());
      mixed_.emplace_back(attention_rows() * group() * config.head_dim);
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
    plan_attention();
    for (std::int64_t index = 0; index < config_.layers; ++index) {
      const LlamaLayer& layer = weights_.layers[static_cast<std::size_t>(index)];
      norm_rows(layer.input_norm, 0, row_count());
      linear(layer.qkv, normed_,
             {.rows = row_count(), .y = qkv_.data(), .y_stride = layer.qkv.padded_outputs()});
      store_keys(layer, index);
      attend(index);
      add_linear(layer.output, attended_);
      norm_rows(layer.post_norm, 0, row_count());
      activate(layer);
      add_linear(layer.down, activated_);
    }
  }

  /// Logits of rows [first, first + count) of the last run.
  ///
  /// shapes  logits [count, image_vocab_size] at `stride`, overwritten
  void logits(std::int64_t first, std::int64_t count, float* logits, std::int64_t stride) {
    norm_rows(weights_.norm, first, count);
    linear(weights_.image_head, normed_,
           {.first_row = first, .rows = count, .y = logits, .y_stride = stride});
  }

  /// Writes row `index` of the last run behind the final norm to out [hidden_size].
  void final_norm(std::int64_t index, float* out) const {
    kernel_.rms_norm(hidden(index), weights_.norm.data(), out, config_.hidden_size,
                     config_.rms_norm_eps);
  }

 private:
  /// Panels of gate, and of up, that one task may take.
  static constexpr std::int64_t most_pairs = 4;

  /// Query rows of one slot that one attention task takes, for one key-value head.
  struct AttentionTask {
    std::int64_t first = 0;
    std::int64_t count = 0;
    std::int64_t head = 0;
  };

  [[nodiscard]] std::int64_t row_count() const { return static_cast<std::int64_t>(rows_.size()); }
  [[nodiscard]] const LlamaRow& row(std::int64_t index) const {
    return rows_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] std::int64_t group() const { return config_.heads / config_.kv_heads; }
  [[nodiscard]] std::int64_t attention_rows() const {
    return std::max<std::int64_t>(1, 12 / group());
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

  /// Calls body(row, thread) for rows [first, first + count), on several threads where that pays.
  template <class Body>
  void each_row(std::int64_t first, std::int64_t count, Body&& body) {
    constexpr std::int64_t at_once = 8;
    const std::int64_t end = first + count;
    if (count <= at_once) {
      for (std::int64_t i = first; i < end; ++i) body(i, std::size_t{0});
      return;
    }
    pool_.run((count + at_once - 1) / at_once, [&](std::int64_t task, int thread) {
      const std::int64_t begin = first + task * at_once;
      for (std::int64_t i = begin; i < std::min(begin + at_once, end); ++i) {
        body(i, static_cast<std::size_t>(thread));
      }
    });
  }

  void norm_rows(const std::vector<float>& weight, std::int64_t first, std::int64_t count) {
    const std::int64_t size = config_.hidden_size;
    each_row(first, count, [&](std::int64_t i, std::size_t thread) {
      float* normed = row_[thread].data();
      kernel_.rms_norm(hidden(i), weight.data(), normed, size, config_.rms_norm_eps);
      normed_.store(kernel_, i, 0, normed, size);
    });
  }

  /// How many of `units` one task takes: a few tasks for each thread, so that they end together.
  [[nodiscard]] std::int64_t task_size(std::int64_t units) const {
    return pool_.threads() == 1 ? units : std::max<std::int64_t>(1, units / (4 * pool_.threads()));
  }

  /// All panels of `layer`; `part` names rows and outputs.
  void linear(const PackedLinear& layer, const Activations& x, const LinearPart& part) {
    const std::int64_t at_once = task_size(layer.panels());
    pool_.run((layer.panels() + at_once - 1) / at_once, [&](std::int64_t task, int) {
      LinearPart own = part;
      own.first_panel = task * at_once;
      own.panels = std::min(at_once, layer.panels() - own.first_panel);
      own.y += own.first_panel * panel_width;
      layer.apply(kernel_, x, own);
    });
  }

  /// Adds a layer's outputs to the hidden rows.
  void add_linear(const PackedLinear& layer, const Activations& x) {
    linear(layer, x,
           {.rows = row_count(),
            .y = hidden_.data(),
            .y_stride = config_.hidden_size,
            .accumulate = true});
  }

  /// Norms and rotates queries and keys; queries go to [kv_heads, rows, group, head_dim], scaled.
  void store_keys(const LlamaLayer& layer, std::int64_t layer_index) {
    const std::int64_t dim = config_.head_dim;
    const std::int64_t width = (config_.heads + 2 * config_.kv_heads) * dim;
    const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dim)));
    each_row(0, row_count(), [&](std::int64_t i, std::size_t) {
      float* q = qkv_.data() + i * width;
      float* k = q + config_.heads * dim;
      const float* v = k + config_.kv_heads * dim;
      for (std::int64_t head = 0; head < config_.heads; ++head) {
        const std::int64_t kv_head = head / group();
        float* out =
            queries_.data() + ((kv_head * row_count() + i) * group() + head % group()) * dim;
        rotate(layer.q_norm, row(i).position, q + head * dim);
        kernel_.scale_row(q + head * dim, scale, out, dim);
      }
      for (std::int64_t head = 0; head < config_.kv_heads; ++head) {
        rotate(layer.k_norm, row(i).position, k + head * dim);
        cache_.store(row(i).slot, layer_index, head, row(i).position, k + head * dim,
                     v + head * dim);
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

  void plan_attention() {
    tasks_.clear();
    for (std::int64_t first = 0; first < row_count();) {
      std::int64_t count = 1;
      while (count < attention_rows() && first + count < row_count() &&
             row(first + count).slot == row(first).slot) {
        ++count;
      }
      for (std::int64_t head = 0; head < config_.kv_heads; ++head) {
        tasks_.push_back({first, count, head});
      }
      first += count;
    }
  }

  void attend(std::int64_t layer) {
    pool_.run(static_cast<std::int64_t>(tasks_.size()), [&](std::int64_t index, int thread) {
      attend_block(tasks_[static_cast<std::size_t>(index)], layer,
                   static_cast<std::size_t>(thread));
    });
  }

  /// Scores, softmax and mixed values of a few query rows. Rows that see fewer keys than the last
  /// one get weight zero behind their own end, which adds nothing to a sum.
  void attend_block(const AttentionTask& task, std::int64_t layer, std::size_t thread) {
    const std::int64_t dim = config_.head_dim;
    const std::int64_t stride = cache_.capacity();
    const std::int64_t slot = row(task.first).slot;
    const std::int64_t keys = row(task.first + task.count - 1).position + 1;
    const std::int64_t panels = (keys + panel_width - 1) / panel_width;
    const std::int64_t rows = task.count * group();
    const float* q = queries_.data() + (task.head * row_count() + task.first) * group() * dim;
    float* scores = scores_[thread].data();
    float* mixed = mixed_[thread].data();
    kernel_.product_fp32({q, dim, rows, dim, cache_.keys(slot, layer, task.head), dim * panel_width,
                          panels, scores, stride, false});
    float* sums = sums_[thread].data();
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t own_keys = row(task.first + i / group()).position + 1;
      sums[i] = kernel_.softmax_weights(scores + i * stride, own_keys, panels * panel_width);
    }
    kernel_.product_fp32({scores, stride, rows, keys, cache_.values(slot, layer, task.head),
                          stride * panel_width, dim / panel_width, mixed, dim, false});
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t head = task.head * group() + i % group();
      kernel_.scale_row(mixed + i * dim, 1.0F / sums[i], mixed + i * dim, dim);
      attended_.store(kernel_, task.first + i / group(), head * dim, mixed + i * dim, dim);
    }
  }

  /// silu(gate) * up, a few panels of each at once.
  void activate(const LlamaLayer& layer) {
    const std::int64_t pairs = config_.intermediate_size / panel_width;
    const std::int64_t at_once = std::min(most_pairs, task_size(pairs));
    pool_.run((pairs + at_once - 1) / at_once, [&](std::int64_t task, int thread_number) {
      const auto thread = static_cast<std::size_t>(thread_number);
      const std::int64_t first = task * at_once;
      const std::int64_t count = std::min(at_once, pairs - first);
      const std::int64_t stride = 2 * count * panel_width;
      float* both = gate_up_[thread].data();
      layer.gate_up.apply(kernel_, normed_,
                          {.rows = row_count(),
                           .first_panel = 2 * first,
                           .panels = 2 * count,
                           .y = both,
                           .y_stride = stride});
      float* active = row_[thread].data();
      for (std::int64_t i = 0; i < row_count(); ++i) {
        kernel_.silu_multiply(both + i * stride, active, count);
        activated_.store(kernel_, i, first * panel_width, active, count * panel_width);
      }
    });
  }

  const LlamaConfig& config_;
  const LlamaWeights& weights_;
  const KernelTable& kernel_;
  ThreadPool pool_;
  LlamaCache cache_;
  AlignedArray<float> cosine_;                // [capacity, head_dim / 2]
  AlignedArray<float> sine_;                  // [capacity, head_dim / 2]
  AlignedArray<float> hidden_;                // [rows_per_run, hidden]
  Activations normed_;                        // [rows_per_run, hidden]
  AlignedArray<float> qkv_;                   // [rows_per_run, (heads + 2 kv_heads) * head_dim]
  AlignedArray<float> queries_;               // [kv_heads, rows, group, head_dim]
  Activations attended_;                      // [rows_per_run, heads * head_dim]
  Activations activated_;                     // [rows_per_run, intermediate]
  std::vector<AlignedArray<float>> scores_;   // [threads][attention_rows * group, capacity]
  std::vector<AlignedArray<float>> sums_;     // [threads][attention_rows * group]
  std::vector<AlignedArray<float>> mixed_;    // [threads][attention_rows * group, head_dim]
  std::vector<AlignedArray<float>> gate_up_;  // [threads][rows_per_run, most_pairs * 2 * 32]
  std::vector<AlignedArray<float>> row_;      // [threads], one row of something
  std::span<const LlamaRow> rows_;
  std::vector<AttentionTask> tasks_;
};

}  // namespace sjd::hosts
