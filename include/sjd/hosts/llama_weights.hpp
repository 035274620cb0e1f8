// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

#include "sjd/hosts/detail/llama_tensors.hpp"
#include "sjd/hosts/linear.hpp"
#include "sjd/hosts/llama_config.hpp"

namespace sjd::hosts {

/// One transformer layer, packed.
struct LlamaLayer {
  std::vector<float> input_norm;  // [hidden]
  std::vector<float> post_norm;   // [hidden]
  std::vector<float> q_norm;      // [head_dim], empty without qk_norm
  std::vector<float> k_norm;      // [head_dim], empty without qk_norm
  PackedLinear qkv;               // hidden -> heads q, kv_heads k, kv_heads v
  PackedLinear output;            // heads * head_dim -> hidden
  PackedLinear gate_up;           // hidden -> 32 gate, 32 up, 32 gate, ...
  PackedLinear down;              // intermediate -> hidden
};

/// All tensors of base.safetensors or sjd2.safetensors.
struct LlamaWeights {
  std::vector<float> text_embedding;   // [text_vocab_size, hidden]
  std::vector<float> image_embedding;  // [image_vocab_size, hidden]
  std::vector<float> image_position;   // [image_tokens, hidden]
  std::vector<float> level_embedding;  // [grid + 1, hidden], empty in a base model
  std::vector<float> noise_mean;       // [hidden], empty in a base model
  std::vector<float> noise_scale;      // [hidden], empty in a base model
  std::vector<float> log_prior;        // [image_vocab_size], empty in a base model
  std::vector<LlamaLayer> layers;      // [num_hidden_layers]
  std::vector<float> norm;             // [hidden]
  PackedLinear image_head;             // hidden -> image_vocab_size
  Storage storage = Storage::bf16;     // of all linear layers

  [[nodiscard]] bool noisy() const { return !level_embedding.empty(); }
};

namespace detail {

/// Reads and packs the tensors of one model file.
class LlamaReader {
 public:
  LlamaReader(const std::filesystem::path& path, const LlamaConfig& config, Storage storage)
      : tensors_{path}, config_{config}, storage_{storage} {}

  [[nodiscard]] LlamaWeights read() {
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t vocab = config_.image_vocab_size;
    LlamaWeights weights;
    weights.storage = storage_;
    weights.text_embedding = floats("text_embedding.weight", {config_.text_vocab_size, hidden});
    weights.image_embedding = floats("image_embedding.weight", {vocab, hidden});
    weights.image_position = floats("image_position.weight", {config_.image_tokens(), hidden});
    if (tensors_.contains("level_embedding.weight")) {
      weights.level_embedding = floats("level_embedding.weight", {config_.noise.grid + 1, hidden});
      tensors_.read_noise(config_, weights);
    }
    for (std::int64_t i = 0; i < config_.layers; ++i) weights.layers.push_back(read_layer(i));
    weights.norm = floats("norm.weight", {hidden});
    weights.image_head =
        pack("image_head.weight", floats("image_head.weight", {vocab, hidden}), hidden);
    tensors_.check_all_seen();
    return weights;
  }

 private:
  [[nodiscard]] std::vector<float> floats(const std::string& name,
                                          std::initializer_list<std::int64_t> shape) {
    return tensors_.floats(name, shape);
  }

  [[nodiscard]] PackedLinear pack(const std::string& name, const std::vector<float>& weight,
                                  std::int64_t inputs) const {
    try {
      return PackedLinear{weight, static_cast<std::int64_t>(weight.size()) / inputs, inputs,
                          storage_};
    } catch (const Error& error) {
      tensors_.refuse(name, error.what());
    }
  }

  [[nodiscard]] LlamaLayer read_layer(std::int64_t index) {
    const std::string prefix = "layers." + std::to_string(index) + ".";
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t queries = config_.heads * config_.head_dim;
    const std::int64_t keys = config_.kv_heads * config_.head_dim;
    LlamaLayer layer;
    layer.input_norm = floats(prefix + "input_norm.weight", {hidden});
    layer.post_norm = floats(prefix + "post_norm.weight", {hidden});
    if (config_.qk_norm) {
      layer.q_norm = floats(prefix + "attention.q_norm.weight", {config_.head_dim});
      layer.k_norm = floats(prefix + "attention.k_norm.weight", {config_.head_dim});
    }
    std::vector<float> qkv = floats(prefix + "attention.q.weight", {queries, hidden});
    for (const char* name : {"attention.k.weight", "attention.v.weight"}) {
      const std::vector<float> part = floats(prefix + name, {keys, hidden});
      qkv.insert(qkv.end(), part.begin(), part.end());
    }
    layer.qkv = pack(prefix + "attention.{q,k,v}.weight", qkv, hidden);
    layer.output = pack(prefix + "attention.o.weight",
                        floats(prefix + "attention.o.weight", {hidden, queries}), queries);
    layer.gate_up = read_gate_up(prefix);
    layer.down = pack(prefix + "mlp.down.weight",
                      floats(prefix + "mlp.down.weight", {hidden, config_.intermediate_size}),
                      config_.intermediate_size);
    return layer;
  }

  /// Interleaves gate and up by panels, so that one task has both halves of an activation.
  [[nodiscard]] PackedLinear read_gate_up(const std::string& prefix) {
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t inner = config_.intermediate_size;
    const std::vector<float> gate = floats(prefix + "mlp.gate.weight", {inner, hidden});
    const std::vector<float> up = floats(prefix + "mlp.up.weight", {inner, hidden});
    std::vector<float> both;  // [2 * intermediate, hidden]
    both.reserve(gate.size() + up.size());
    for (std::int64_t first = 0; first < inner; first += panel_width) {
      for (const std::vector<float>* part : {&gate, &up}) {
        const auto begin = part->begin() + first * hidden;
        both.insert(both.end(), begin, begin + panel_width * hidden);
      }
    }
    return pack(prefix + "mlp.{gate,up}.weight", both, hidden);
  }

  LlamaTensors tensors_;
  const LlamaConfig& config_;
  Storage storage_;
};

}  // namespace detail

/// Reads a model file that belongs to `config`.
///
/// memory  the packed weights; the peak is one layer in fp32 above that
/// errors  bad_file naming the tensor: missing, of another shape, not finite, unknown, or not a
///         bf16 number where storage is bf16
[[nodiscard]] inline LlamaWeights read_llama_weights(const std::filesystem::path& path,
                                                     const LlamaConfig& config, Storage storage) {
  return detail::LlamaReader{path, config, storage}.read();
}

}  // namespace sjd::hosts
