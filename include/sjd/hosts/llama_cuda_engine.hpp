// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/cuda/llama_layers.hpp"
#include "sjd/hosts/llama_backend.hpp"
#include "sjd/hosts/llama_book.hpp"
#include "sjd/hosts/llama_cuda_weights.hpp"

namespace sjd::hosts {

/// How much an engine can take at once.
struct LlamaCudaSize {
  std::int64_t sequences = 1;
  std::int64_t rows = 96;  ///< of one sequence and branch
};

/// Rows of one run, where the launcher reads them.
///
/// shapes  input [groups, rows], one group a slot; fed [fed_rows, hidden] at fed_stride
struct LlamaCudaRows {
  const InputRow* input = nullptr;
  std::int64_t groups = 0;
  std::int64_t rows = 0;
  bool prompt = false;
  MatrixView<const float, DeviceMemory> fed{};

  [[nodiscard]] std::int64_t count() const { return groups * rows; }
};

/// The transformer on a device: input rows in, logits out; kernels and products in one order on one
/// launcher. Nothing is allocated or awaited after construction, so a graph can hold every call.
///
/// A row depends on its own prefix and on the shape of the run: products of another number of rows
/// may round differently, so this engine is not row-invariant.
template <class Backend, StoredNumber Number>
class LlamaCudaEngine {
  static_assert(LlamaBackend<Backend, Number>,
                "sjd::LlamaBackend: see sjd/hosts/llama_backend.hpp for what a backend must have");

 public:
  using Launcher = typename Backend::Launcher;
  static constexpr std::int64_t branches = LlamaBook::max_branches;

  /// memory  borrows everything; keys and values of all slots, and the activations of `size`
  /// errors  invalid_argument for a head_dim that no kernel has, std::bad_alloc
  LlamaCudaEngine(Backend& backend, const LlamaConfig& config,
                  const LlamaCudaWeights<Number>& weights, LlamaCudaSize size)
      : backend_{backend},
        config_{config},
        weights_{weights},
        size_{size},
        arrays_{backend},
        width_{(config.heads + 2 * config.kv_heads) * config.head_dim} {
    expects(config.head_dim == 32 || config.head_dim == 64 || config.head_dim == 128,
            ErrorCode::invalid_argument, "LlamaCuda: head_dim must be 32, 64 or 128");
    expects(size.rows >= 1 && size.rows <= 4096, ErrorCode::invalid_argument,
            "LlamaCuda: rows must lie in [1, 4096]");
    make_cache();
    make_rotation();
    make_scratch();
  }

  [[nodiscard]] const LlamaCudaSize& size() const noexcept { return size_; }
  [[nodiscard]] std::int64_t most_groups() const { return size_.sequences * branches; }
  [[nodiscard]] std::int64_t most_rows() const { return most_groups() * size_.rows; }

  /// Says how many rows stand in front of image position 0 of a slot.
  void set_prompt_rows(std::int64_t slot, std::int64_t rows) {
    backend_.upload(prompt_rows_ + slot, &rows, sizeof rows);
  }

  /// Runs the layers over rows and stores their keys and values.
  ///
  /// shapes  at most most_groups() groups and most_rows() rows
  void run(Launcher& launcher, const LlamaCudaRows& rows) {
    place(launcher, rows);
    for (std::int64_t index = 0; index < config_.layers; ++index) {
      run_layer(launcher, rows, index);
    }
  }

  /// Logits of `count` rows of the last run, and these rows behind the final norm.
  ///
  /// shapes  gather [count], the row of the run that row i of the outputs belongs to, null: row i;
  ///         logits [count, image_vocab_size]; hidden [count, hidden_size] or no data
  template <class Out>
  void logits(Launcher& launcher, std::int64_t count, const std::int32_t* gather,
              MatrixView<Out, DeviceMemory> logits, MatrixView<float, DeviceMemory> hidden) {
    cuda::NormArguments<Number> norm = norm_of(weights_.norm, count);
    norm.gather = gather;
    norm.places = places_;
    norm.wide = hidden.data;
    norm.wide_stride = hidden.stride;
    cuda::norm_rows(launcher, norm);
    backend_.product(launcher, MatrixProduct<Number, Out>{normed_, weights_.image_head, logits.data,
                                                          count, config_.hidden_size,
                                                          config_.image_vocab_size, logits.stride});
  }

 private:
  void make_cache() {
    constexpr std::int64_t tile = 64;
    const std::int64_t rows = config_.max_prompt_tokens + 1 + config_.image_tokens();
    cache_.slots = most_groups();
    cache_.layers = config_.layers;
    cache_.kv_heads = config_.kv_heads;
    cache_.capacity = (rows + tile - 1) / tile * tile;
    cache_.head_dim = config_.head_dim;
    cache_.keys = arrays_.template zeros<Number>(cache_.size());
    cache_.values = arrays_.template zeros<Number>(cache_.size());
    prompt_rows_ = arrays_.template zeros<std::int64_t>(cache_.slots);
  }

  void make_rotation() {
    const std::int64_t half = config_.head_dim / 2;
    std::vector<float> cosine;
    std::vector<float> sine;
    for (std::int64_t position = 0; position < cache_.capacity; ++position) {
      for (std::int64_t i = 0; i < half; ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(2 * half);
        const double angle = static_cast<double>(position) * std::pow(config_.rope_theta, exponent);
        cosine.push_back(static_cast<float>(std::cos(angle)));
        sine.push_back(static_cast<float>(std::sin(angle)));
      }
    }
    cosine_ = arrays_.copy(cosine);
    sine_ = arrays_.copy(sine);
  }

  void make_scratch() {
    const std::int64_t rows = most_rows();
    const std::int64_t queries = config_.heads * config_.head_dim;
    const std::int64_t shares =
        config_.heads * cuda::attention_workspace(rows, config_.heads, backend_.multiprocessors());
    places_ = arrays_.template make<cuda::RowPlace>(rows);
    groups_ = arrays_.template make<cuda::GroupPlace>(most_groups());
    hidden_ = arrays_.template make<float>(rows * config_.hidden_size);
    normed_ = arrays_.template make<Number>(rows * config_.hidden_size);
    qkv_ = arrays_.template make<Number>(rows * width_);
    attended_ = arrays_.template make<Number>(rows * queries);
    gate_up_ = arrays_.template make<Number>(rows * 2 * config_.intermediate_size);
    active_ = arrays_.template make<Number>(rows * config_.intermediate_size);
    mixed_ = arrays_.template make<float>(shares * config_.head_dim);
    results_ = arrays_.template make<cuda::ShareResult>(shares);
  }

  void place(Launcher& launcher, const LlamaCudaRows& rows) {
    cuda::PlaceArguments where;
    where.input = rows.input;
    where.group_count = rows.groups;
    where.rows = rows.rows;
    where.prompt = rows.prompt;
    where.limits = {size_.sequences,
                    branches,
                    config_.text_vocab_size,
                    config_.image_vocab_size,
                    config_.image_tokens(),
                    weights_.noisy() ? config_.noise.grid + 1 : 0,
                    rows.fed.data == nullptr ? 0 : rows.fed.rows};
    where.prompt_rows = prompt_rows_;
    where.places = places_;
    where.groups = groups_;
    cuda::place_rows(launcher, where);
    cuda::embed_rows(launcher,
                     cuda::EmbedArguments<Number>{
                         rows.input, places_, rows.count(), config_.hidden_size, rows.fed.data,
                         rows.fed.stride, weights_.text_embedding, weights_.image_embedding,
                         weights_.image_position, weights_.level_embedding, hidden_});
  }

  [[nodiscard]] cuda::NormArguments<Number> norm_of(const float* weight, std::int64_t rows) const {
    cuda::NormArguments<Number> norm;
    norm.hidden = hidden_;
    norm.row_count = rows;
    norm.dim = config_.hidden_size;
    norm.weight = weight;
    norm.epsilon = config_.rms_norm_eps;
    norm.out = normed_;
    return norm;
  }

  /// y = x weight^T into an array of its own width, or added to the hidden rows.
  template <class Out>
  void product(Launcher& launcher, const Number* x, const Number* weight, Out* y, std::int64_t rows,
               std::int64_t inputs, std::int64_t outputs, bool accumulate = false) {
    backend_.product(launcher, MatrixProduct<Number, Out>{x, weight, y, rows, inputs, outputs,
                                                          outputs, accumulate});
  }

  void run_layer(Launcher& launcher, const LlamaCudaRows& rows, std::int64_t index) {
    const LlamaCudaLayer<Number>& layer = weights_.layers[static_cast<std::size_t>(index)];
    const std::int64_t count = rows.count();
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t inner = config_.intermediate_size;
    const std::int64_t queries = config_.heads * config_.head_dim;
    cuda::norm_rows(launcher, norm_of(layer.input_norm, count));
    product(launcher, normed_, layer.qkv, qkv_, count, hidden, width_);
    cuda::rotate_and_store(
        launcher, cuda::RotaryArguments<Number>{qkv_, places_, count, config_.heads, layer.q_norm,
                                                layer.k_norm, config_.rms_norm_eps, cosine_, sine_,
                                                cache_, index});
    attend(launcher, rows, index);
    product(launcher, attended_, layer.output, hidden_, count, queries, hidden, true);
    cuda::norm_rows(launcher, norm_of(layer.post_norm, count));
    product(launcher, normed_, layer.gate_up, gate_up_, count, hidden, 2 * inner);
    cuda::activate(launcher, cuda::ActivateArguments<Number>{gate_up_, count, inner, active_});
    product(launcher, active_, layer.down, hidden_, count, inner, hidden, true);
  }

  void attend(Launcher& launcher, const LlamaCudaRows& rows, std::int64_t index) {
    cuda::AttentionArguments<Number> a;
    a.qkv = qkv_;
    a.places = places_;
    a.groups = groups_;
    a.group_count = rows.groups;
    a.rows = rows.rows;
    a.heads = config_.heads;
    a.cache = cache_;
    a.layer = index;
    a.splits = cuda::attention_splits(rows.groups * config_.kv_heads * cuda::detail::query_tiles(a),
                                      backend_.multiprocessors());
    a.attended = attended_;
    a.mixed = mixed_;
    a.results = results_;
    cuda::attend(launcher, a);
  }

  Backend& backend_;
  const LlamaConfig& config_;
  const LlamaCudaWeights<Number>& weights_;
  LlamaCudaSize size_;
  DeviceArrays<Backend> arrays_;
  std::int64_t width_;  // of a row of qkv_
  cuda::KeyValueCache<Number> cache_;
  std::int64_t* prompt_rows_ = nullptr;   // [slots]
  const float* cosine_ = nullptr;         // [capacity, head_dim / 2]
  const float* sine_ = nullptr;           // [capacity, head_dim / 2]
  cuda::RowPlace* places_ = nullptr;      // [most_rows]
  cuda::GroupPlace* groups_ = nullptr;    // [most_groups]
  float* hidden_ = nullptr;               // [most_rows, hidden]
  Number* normed_ = nullptr;              // [most_rows, hidden]
  Number* qkv_ = nullptr;                 // [most_rows, width]
  Number* attended_ = nullptr;            // [most_rows, heads * head_dim]
  Number* gate_up_ = nullptr;             // [most_rows, 2, intermediate]
  Number* active_ = nullptr;              // [most_rows, intermediate]
  float* mixed_ = nullptr;                // see AttentionArguments
  cuda::ShareResult* results_ = nullptr;  // see AttentionArguments
};

}  // namespace sjd::hosts
