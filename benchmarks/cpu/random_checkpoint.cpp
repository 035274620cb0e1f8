// SPDX-License-Identifier: Apache-2.0
#include "random_checkpoint.hpp"

#include <fmt/core.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <stdexcept>
#include <vector>

namespace sjd::bench {
namespace {

constexpr std::int64_t text_vocab = 64, prompt = 8, side = 16;

/// bf16 numbers about `mean`, as far as `spread` from it.
struct Tensor {
  std::string name;
  std::int64_t rows = 1;     ///< 1: a vector
  std::int64_t columns = 0;  ///< inputs
  float mean = 0.0F;
  float spread = 0.0F;
};

std::vector<Tensor> tensors_of(const HostShape& s) {
  std::vector<Tensor> all;
  const auto weight = [&](const std::string& name, std::int64_t out, std::int64_t in, float gain) {
    all.push_back({name + ".weight", out, in, 0.0F, gain / std::sqrt(static_cast<float>(in))});
  };
  const auto norm = [&](const std::string& name) {
    all.push_back({name + ".weight", 1, s.hidden, 1.0F, 0.1F});
  };
  const std::int64_t wide = s.heads * HostShape::head_dim;
  weight("text_embedding", text_vocab, s.hidden, 10.0F);
  weight("image_embedding", s.vocab, s.hidden, 10.0F);
  weight("image_position", side * side, s.hidden, 5.0F);
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const std::string layer = fmt::format("layers.{}.", i);
    norm(layer + "input_norm");
    norm(layer + "post_norm");
    for (const char* part : {"q", "k", "v"})
      weight(layer + "attention." + part, wide, s.hidden, 1.7F);
    weight(layer + "attention.o", s.hidden, wide, 1.7F);
    weight(layer + "mlp.gate", s.inner, s.hidden, 1.7F);
    weight(layer + "mlp.up", s.inner, s.hidden, 1.7F);
    weight(layer + "mlp.down", s.hidden, s.inner, 1.7F);
  }
  norm("norm");
  weight("image_head", s.vocab, s.hidden, 5.0F);
  return all;
}

void write_config(const std::filesystem::path& path, const HostShape& s) {
  std::ofstream file{path};
  file << fmt::format(
      R"({{"format": "sjd-llama", "version": 1, "hidden_size": {}, "intermediate_size": {},
"num_hidden_layers": {}, "num_attention_heads": {}, "num_key_value_heads": {}, "head_dim": {},
"rms_norm_eps": 1e-5, "rope_theta": 10000.0, "qk_norm": false, "text_vocab_size": {},
"image_vocab_size": {}, "max_prompt_tokens": {}, "image_rows": {}, "image_columns": {},
"patch_size": 1, "noise": {{"family": "vp", "grid": 12, "rho_min": 2.0, "rho_max": 16.0,
"rho_power": 7.0, "feed": "posterior_mean", "normalization": "per_channel",
"level_embedding": "additive"}}}})",
      s.hidden, s.inner, s.layers, s.heads, s.heads, HostShape::head_dim, text_vocab, s.vocab,
      prompt, side, side);
  if (!file) throw std::runtime_error{"cannot write " + path.string()};
}

}  // namespace

void write_random_checkpoint(const std::filesystem::path& directory, const HostShape& shape) {
  write_config(directory / "config.json", shape);
  const std::vector<Tensor> tensors = tensors_of(shape);
  std::string header = "{";
  std::int64_t begin = 0;
  for (const Tensor& t : tensors) {
    const std::int64_t end = begin + 2 * t.rows * t.columns;
    header += fmt::format(
        R"({}"{}":{{"dtype":"BF16","shape":[{}],"data_offsets":[{},{}]}})", begin == 0 ? "" : ",",
        t.name,
        t.rows == 1 ? fmt::format("{}", t.columns) : fmt::format("{},{}", t.rows, t.columns), begin,
        end);
    begin = end;
  }
  header += "}";
  const std::filesystem::path path = directory / "base.safetensors";
  std::ofstream file{path, std::ios::binary};
  const auto size = static_cast<std::uint64_t>(header.size());
  file.write(reinterpret_cast<const char*>(&size), sizeof(size));
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  std::uint32_t seed = 1;
  std::vector<std::uint16_t> values;
  for (const Tensor& t : tensors) {
    values.resize(static_cast<std::size_t>(t.rows * t.columns));
    for (std::uint16_t& value : values) {
      seed = seed * 1664525U + 1013904223U;
      const float unit = static_cast<float>(seed >> 8U) / 8388608.0F - 1.0F;
      value =
          static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(t.mean + t.spread * unit) >> 16U);
    }
    file.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(2 * values.size()));
  }
  if (!file) throw std::runtime_error{"cannot write " + path.string()};
}

}  // namespace sjd::bench
