// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sjd/hosts/llama_config.hpp"

/// Shapes of published image models, to be filled with random weights: what a pass costs depends on
/// nothing else. Only the image part of a head is there, as a decoder asks for no more.
namespace sjd::hosts {

/// Weights that one pass reads: all layers and the image head.
[[nodiscard]] inline std::int64_t weights_of_pass(const LlamaConfig& c) {
  const std::int64_t attention = (2 * c.heads + 2 * c.kv_heads) * c.head_dim;
  return c.layers * c.hidden_size * (attention + 3 * c.intermediate_size) +
         c.image_vocab_size * c.hidden_size;
}

namespace detail {

inline LlamaConfig published_shape(std::int64_t hidden, std::int64_t intermediate,
                                   std::int64_t layers, std::int64_t kv_heads) {
  LlamaConfig c;
  c.hidden_size = hidden;
  c.intermediate_size = intermediate;
  c.layers = layers;
  c.head_dim = 128;
  c.heads = hidden / c.head_dim;
  c.kv_heads = kv_heads;
  c.rms_norm_eps = 1e-5F;
  c.rope_theta = 10'000.0;
  c.max_prompt_tokens = 256;
  c.patch_size = 16;
  c.noise = {.grid = 12, .rho_min = 2.0F, .rho_max = 16.0F, .per_channel = true};
  return c;
}

}  // namespace detail

/// Janus-Pro-1B: 576 tokens.
///
/// source  its config.json (deepseek-community/Janus-Pro-1B)
[[nodiscard]] inline LlamaConfig janus_pro_1b_shape() {
  LlamaConfig c = detail::published_shape(2048, 5632, 24, 16);
  c.rms_norm_eps = 1e-6F;
  c.text_vocab_size = 102'400;
  c.image_vocab_size = 16'384;
  c.image_rows = c.image_columns = 24;
  return c;
}

/// Lumina-mGPT 7B at 768 pixels: 2352 tokens, row ends included. Its norm of queries and keys is a
/// layer norm with a bias; here it is the RMS norm of docs/checkpoint.md.
///
/// source  its config.json (Alpha-VLLM/Lumina-mGPT-7B-768)
[[nodiscard]] inline LlamaConfig lumina_mgpt_7b_shape() {
  LlamaConfig c = detail::published_shape(4096, 11'008, 32, 32);
  c.qk_norm = true;
  c.text_vocab_size = 65'536;
  c.image_vocab_size = 8'192;
  c.image_rows = 48;
  c.image_columns = 49;
  return c;
}

/// Emu3-Gen 8B: 8190 tokens, row ends included.
///
/// source  its config.json (BAAI/Emu3-Gen)
[[nodiscard]] inline LlamaConfig emu3_8b_shape() {
  LlamaConfig c = detail::published_shape(4096, 14'336, 32, 8);
  c.rope_theta = 1e6;
  c.text_vocab_size = 151'854;
  c.image_vocab_size = 32'768;
  c.image_rows = 90;
  c.image_columns = 91;
  return c;
}

}  // namespace sjd::hosts
