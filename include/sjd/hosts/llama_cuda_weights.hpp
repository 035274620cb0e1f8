// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

#include "sjd/cuda/llama_layers.hpp"
#include "sjd/hosts/detail/llama_tensors.hpp"
#include "sjd/hosts/llama_backend.hpp"
#include "sjd/hosts/llama_config.hpp"

namespace sjd::hosts {

/// One transformer layer in device memory.
template <StoredNumber Number>
struct LlamaCudaLayer {
  const float* input_norm = nullptr;  // [hidden]
  const float* post_norm = nullptr;   // [hidden]
  const float* q_norm = nullptr;      // [head_dim], null without qk_norm
  const float* k_norm = nullptr;      // [head_dim], null without qk_norm
  const Number* qkv = nullptr;        // [(heads + 2 kv_heads) * head_dim, hidden]
  const Number* output = nullptr;     // [hidden, heads * head_dim]
  const Number* gate_up = nullptr;    // [2 * intermediate, hidden], gate first
  const Number* down = nullptr;       // [hidden, intermediate]
};

/// All tensors of a model, as docs/checkpoint.md names them; vectors lie in host memory.
template <StoredNumber Number>
struct LlamaCudaWeights {
  const Number* text_embedding = nullptr;   // [text_vocab_size, hidden]
  const Number* image_embedding = nullptr;  // [image_vocab_size, hidden]
  const Number* image_position = nullptr;   // [image_tokens, hidden]
  const Number* level_embedding = nullptr;  // [grid + 1, hidden], null in a base model
  std::vector<LlamaCudaLayer<Number>> layers;
  const float* norm = nullptr;         // [hidden]
  const Number* image_head = nullptr;  // [image_vocab_size, hidden]
  std::vector<float> image_rows;       // [image_vocab_size, hidden], image_embedding once more
  std::vector<float> noise_mean;       // [hidden], empty in a base model
  std::vector<float> noise_scale;      // [hidden], empty in a base model
  std::vector<float> log_prior;        // [image_vocab_size], empty in a base model

  [[nodiscard]] bool noisy() const { return level_embedding != nullptr; }
};

namespace detail {

/// Goes through the tensors of a model in one order; Source says where their numbers come from:
/// `numbers(names, shape)` one below the other, `norm(name, size)`.
template <StoredNumber Number, class Source>
void read_llama_layers(const LlamaConfig& c, Source& source, LlamaCudaWeights<Number>& out) {
  const std::int64_t queries = c.heads * c.head_dim;
  const std::int64_t keys = c.kv_heads * c.head_dim;
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const std::string prefix = "layers." + std::to_string(i) + ".";
    LlamaCudaLayer<Number> layer;
    layer.input_norm = source.norm(prefix + "input_norm.weight", c.hidden_size);
    layer.post_norm = source.norm(prefix + "post_norm.weight", c.hidden_size);
    if (c.qk_norm) {
      layer.q_norm = source.norm(prefix + "attention.q_norm.weight", c.head_dim);
      layer.k_norm = source.norm(prefix + "attention.k_norm.weight", c.head_dim);
    }
    layer.qkv = source.numbers({{prefix + "attention.q.weight", queries},
                                {prefix + "attention.k.weight", keys},
                                {prefix + "attention.v.weight", keys}},
                               c.hidden_size);
    layer.output = source.numbers({{prefix + "attention.o.weight", c.hidden_size}}, queries);
    layer.gate_up = source.numbers({{prefix + "mlp.gate.weight", c.intermediate_size},
                                    {prefix + "mlp.up.weight", c.intermediate_size}},
                                   c.hidden_size);
    layer.down = source.numbers({{prefix + "mlp.down.weight", c.hidden_size}}, c.intermediate_size);
    out.layers.push_back(layer);
  }
  out.norm = source.norm("norm.weight", c.hidden_size);
  out.image_head = source.numbers({{"image_head.weight", c.image_vocab_size}}, c.hidden_size);
}

template <StoredNumber Number, class Source>
void read_llama_tables(const LlamaConfig& c, Source& source, LlamaCudaWeights<Number>& out) {
  const std::int64_t hidden = c.hidden_size;
  out.text_embedding = source.numbers({{"text_embedding.weight", c.text_vocab_size}}, hidden);
  out.image_embedding = source.numbers({{"image_embedding.weight", c.image_vocab_size}}, hidden);
  out.image_position = source.numbers({{"image_position.weight", c.image_tokens()}}, hidden);
}

/// Rows of one tensor.
struct TensorPart {
  std::string name;
  std::int64_t rows = 0;
};

/// Tensors of a file, sent to a backend one after the other.
template <StoredNumber Number, class Backend>
class FileSource {
 public:
  FileSource(const std::filesystem::path& path, Backend& backend, DeviceArrays<Backend>& arrays)
      : tensors{path}, backend_{&backend}, arrays_{&arrays} {}

  [[nodiscard]] const float* norm(const std::string& name, std::int64_t size) {
    return arrays_->copy(tensors.floats(name, {size}));
  }
  [[nodiscard]] const Number* numbers(std::initializer_list<TensorPart> parts,
                                      std::int64_t columns) {
    std::int64_t rows = 0;
    for (const TensorPart& part : parts) rows += part.rows;
    auto* array = arrays_->template make<Number>(rows * columns);
    Number* to = array;
    for (const TensorPart& part : parts) {
      const std::vector<Number> values =
          stored(part.name, tensors.floats(part.name, {part.rows, columns}));
      backend_->upload(to, values.data(), values.size() * sizeof(Number));
      to += part.rows * columns;
    }
    return array;
  }

  LlamaTensors tensors;

 private:
  [[nodiscard]] std::vector<Number> stored(const std::string& name,
                                           const std::vector<float>& values) const {
    std::vector<Number> numbers(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      numbers[i] = cuda::detail::rounded<Number>(values[i]);
      if (cuda::to_float(numbers[i]) != values[i]) {
        tensors.refuse(name, "holds a value that is not a bf16 number; use fp32");
      }
    }
    return numbers;
  }

  Backend* backend_;
  DeviceArrays<Backend>* arrays_;
};

/// Random tensors, made where they are used.
template <StoredNumber Number, class Backend>
class RandomSource {
 public:
  RandomSource(std::uint64_t seed, Backend& backend, DeviceArrays<Backend>& arrays)
      : seed_{seed}, backend_{&backend}, arrays_{&arrays} {}

  [[nodiscard]] const float* norm(const std::string&, std::int64_t size) {
    return fill<float>(size, 1.0F, 0.0F);
  }
  [[nodiscard]] const Number* numbers(std::initializer_list<TensorPart> parts,
                                      std::int64_t columns) {
    std::int64_t rows = 0;
    for (const TensorPart& part : parts) rows += part.rows;
    return fill<Number>(rows * columns, 0.0F, std::sqrt(3.0F / static_cast<float>(columns)));
  }

 private:
  template <class T>
  [[nodiscard]] const T* fill(std::int64_t size, float mean, float spread) {
    T* array = arrays_->template make<T>(size);
    cuda::fill_random(backend_->launcher(),
                      cuda::FillArguments<T>{array, size, seed_, next_++, mean, spread});
    return array;
  }

  std::uint64_t seed_;
  Backend* backend_;
  DeviceArrays<Backend>* arrays_;
  std::uint32_t next_ = 0;
};

/// image_embedding as the denoiser reads it.
template <StoredNumber Number, class Backend>
std::vector<float> fetch_image_rows(const LlamaConfig& c, Backend& backend, const Number* table) {
  std::vector<Number> rows(static_cast<std::size_t>(c.image_vocab_size * c.hidden_size));
  backend.download(rows.data(), table, rows.size() * sizeof(Number));
  std::vector<float> wide(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) wide[i] = cuda::to_float(rows[i]);
  return wide;
}

}  // namespace detail

/// Reads a model file that belongs to `config` into device memory.
///
/// memory  arrays of `arrays`; the peak on the host is one tensor in fp32, twice
/// errors  as read_llama_weights(): bad_file naming the tensor
template <StoredNumber Number, class Backend>
[[nodiscard]] LlamaCudaWeights<Number> read_llama_cuda_weights(const std::filesystem::path& path,
                                                               const LlamaConfig& config,
                                                               Backend& backend,
                                                               DeviceArrays<Backend>& arrays) {
  detail::FileSource<Number, Backend> source{path, backend, arrays};
  LlamaCudaWeights<Number> weights;
  detail::read_llama_tables(config, source, weights);
  if (source.tensors.contains("level_embedding.weight")) {
    weights.level_embedding =
        source.numbers({{"level_embedding.weight", config.noise.grid + 1}}, config.hidden_size);
    source.tensors.read_noise(config, weights);
  }
  detail::read_llama_layers(config, source, weights);
  source.tensors.check_all_seen();
  weights.image_rows = detail::fetch_image_rows(config, backend, weights.image_embedding);
  return weights;
}

/// Random weights of a shape, for benchmarks: what they draw means nothing, what they cost does.
/// Uniform of variance 1 / inputs, norms of ones, mean 0 and scale 1 of the noise.
///
/// memory  arrays of `arrays`; on the host the image rows in fp32
template <StoredNumber Number, class Backend>
[[nodiscard]] LlamaCudaWeights<Number> random_llama_cuda_weights(const LlamaConfig& config,
                                                                 std::uint64_t seed,
                                                                 Backend& backend,
                                                                 DeviceArrays<Backend>& arrays) {
  detail::RandomSource<Number, Backend> source{seed, backend, arrays};
  LlamaCudaWeights<Number> weights;
  detail::read_llama_tables(config, source, weights);
  weights.level_embedding =
      source.numbers({{"level_embedding.weight", config.noise.grid + 1}}, config.hidden_size);
  const auto hidden = static_cast<std::size_t>(config.hidden_size);
  weights.noise_mean.assign(hidden, 0.0F);
  weights.noise_scale.assign(hidden, 1.0F);
  weights.log_prior.assign(static_cast<std::size_t>(config.image_vocab_size), 0.0F);
  detail::read_llama_layers(config, source, weights);
  weights.image_rows = detail::fetch_image_rows(config, backend, weights.image_embedding);
  return weights;
}

}  // namespace sjd::hosts
