// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sjd/hosts/llama_config.hpp"

namespace sjd::test {

/// A directory that is removed with its contents.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sjd-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error{"mkdtemp failed"};
    path_ = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A tensor on its way to a file; the values stand in fp32 whatever the type in the file.
struct TestTensor {
  std::string type;  ///< "BF16" or "F32"
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
using TestTensors = std::map<std::string, TestTensor>;

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream file{path, std::ios::binary};
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file) throw std::runtime_error{"cannot write " + path.string()};
}

/// The bytes of a safetensors file with this header and body.
inline std::string safetensors_bytes(const std::string& header, const std::string& body) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) {
    bytes += static_cast<char>((static_cast<std::uint64_t>(header.size()) >> (8 * i)) & 0xFFU);
  }
  return bytes + header + body;
}

inline void write_safetensors(const std::filesystem::path& path, const TestTensors& tensors) {
  std::string header = "{";
  std::string body;
  for (const auto& [name, tensor] : tensors) {
    const std::size_t begin = body.size();
    for (const float value : tensor.values) {
      const auto bits = std::bit_cast<std::uint32_t>(value);
      for (int i = tensor.type == "BF16" ? 2 : 0; i < 4; ++i) {
        body += static_cast<char>((bits >> (8 * i)) & 0xFFU);
      }
    }
    std::string shape;
    for (const std::int64_t extent : tensor.shape) {
      if (!shape.empty()) shape += ',';
      shape += std::to_string(extent);
    }
    header += (header.size() == 1 ? "\"" : ",\"") + name + "\":{\"dtype\":\"" + tensor.type +
              "\",\"shape\":[" + shape + "],\"data_offsets\":[" + std::to_string(begin) + "," +
              std::to_string(body.size()) + "]}";
  }
  write_bytes(path, safetensors_bytes(header + "}", body));
}

/// Drops the low half of a float. Never inlined: g++ 12 forgets the mask where it stands under a
/// condition.
[[gnu::noinline]] inline float truncated_to_bf16(float value) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xFFFF0000U);
}

/// Normal values of a given size, those of BF16 tensors rounded (towards zero) to bf16.
class RandomTensors {
 public:
  explicit RandomTensors(std::uint32_t seed) : engine_{seed} {}

  TestTensor operator()(const std::string& type, std::vector<std::int64_t> shape, double size,
                        double mean = 0.0) {
    TestTensor tensor{type, std::move(shape), {}};
    std::int64_t count = 1;
    for (const std::int64_t extent : tensor.shape) count *= extent;
    std::normal_distribution<double> normal{mean, size};
    for (std::int64_t i = 0; i < count; ++i) {
      const auto value = static_cast<float>(normal(engine_));
      tensor.values.push_back(type == "BF16" ? truncated_to_bf16(value) : value);
    }
    return tensor;
  }

 private:
  std::mt19937 engine_;
};

/// The shape of the model that ships.
inline hosts::LlamaConfig full_shape() {
  hosts::LlamaConfig config;
  config.hidden_size = 256;
  config.intermediate_size = 704;
  config.layers = 6;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 64;
  config.rms_norm_eps = 1e-5F;
  config.rope_theta = 10000.0;
  config.qk_norm = true;
  config.text_vocab_size = 2500;
  config.image_vocab_size = 512;
  config.max_prompt_tokens = 12;
  config.image_rows = 16;
  config.image_columns = 16;
  config.patch_size = 4;
  config.noise = {
      .grid = 12, .rho_min = 2.0F, .rho_max = 16.0F, .posterior_mean = true, .per_channel = true};
  return config;
}

/// A model small enough for many passes, in which no two sizes agree that could be mixed up.
inline hosts::LlamaConfig tiny_shape() {
  hosts::LlamaConfig config = full_shape();
  config.hidden_size = 64;
  config.intermediate_size = 160;
  config.layers = 2;
  config.heads = 6;
  config.kv_heads = 2;
  config.head_dim = 32;
  config.text_vocab_size = 9;
  config.image_vocab_size = 96;
  config.max_prompt_tokens = 5;
  config.image_rows = 9;
  config.image_columns = 10;
  config.noise.grid = 4;
  return config;
}

inline std::string config_json(const hosts::LlamaConfig& c) {
  const auto field = [](const std::string& name, auto value) {
    return "\"" + name + "\": " + std::to_string(value) + ", ";
  };
  return "{\"format\": \"sjd-llama\", \"version\": 1, " + field("hidden_size", c.hidden_size) +
         field("intermediate_size", c.intermediate_size) + field("num_hidden_layers", c.layers) +
         field("num_attention_heads", c.heads) + field("num_key_value_heads", c.kv_heads) +
         field("head_dim", c.head_dim) + "\"rms_norm_eps\": 1e-5, " +
         field("rope_theta", c.rope_theta) + "\"qk_norm\": " + (c.qk_norm ? "true" : "false") +
         ", " + field("text_vocab_size", c.text_vocab_size) +
         field("image_vocab_size", c.image_vocab_size) +
         field("max_prompt_tokens", c.max_prompt_tokens) + field("image_rows", c.image_rows) +
         field("image_columns", c.image_columns) + field("patch_size", c.patch_size) +
         "\"noise\": {\"family\": \"vp\", " + field("grid", c.noise.grid) +
         field("rho_min", c.noise.rho_min) + field("rho_max", c.noise.rho_max) +
         "\"rho_power\": 7.0, \"feed\": \"posterior_mean\", \"normalization\": \"per_channel\", " +
         "\"level_embedding\": \"additive\"}}";
}

/// Random tensors of a model; sizes chosen so that attention is far from uniform and logits spread.
inline TestTensors random_model(const hosts::LlamaConfig& c, bool noisy, std::uint32_t seed) {
  RandomTensors make{seed};
  TestTensors t;
  const auto weight = [&](const std::string& name, std::int64_t out, std::int64_t in, double gain) {
    t[name] = make("BF16", {out, in}, gain / std::sqrt(static_cast<double>(in)));
  };
  const auto norm = [&](const std::string& name, std::int64_t size, double mean) {
    t[name] = make("BF16", {size}, 0.3, mean);
  };
  t["text_embedding.weight"] = make("BF16", {c.text_vocab_size, c.hidden_size}, 1.0);
  t["image_embedding.weight"] = make("BF16", {c.image_vocab_size, c.hidden_size}, 1.0);
  t["image_position.weight"] = make("BF16", {c.image_tokens(), c.hidden_size}, 0.5);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const std::string layer = "layers." + std::to_string(i) + ".";
    norm(layer + "input_norm.weight", c.hidden_size, 1.0);
    norm(layer + "post_norm.weight", c.hidden_size, 1.0);
    weight(layer + "attention.q.weight", c.heads * c.head_dim, c.hidden_size, 1.0);
    weight(layer + "attention.k.weight", c.kv_heads * c.head_dim, c.hidden_size, 1.0);
    weight(layer + "attention.v.weight", c.kv_heads * c.head_dim, c.hidden_size, 1.0);
    weight(layer + "attention.o.weight", c.hidden_size, c.heads * c.head_dim, 1.0);
    if (c.qk_norm) {
      norm(layer + "attention.q_norm.weight", c.head_dim, 1.5);
      norm(layer + "attention.k_norm.weight", c.head_dim, 1.5);
    }
    weight(layer + "mlp.gate.weight", c.intermediate_size, c.hidden_size, 1.0);
    weight(layer + "mlp.up.weight", c.intermediate_size, c.hidden_size, 1.0);
    weight(layer + "mlp.down.weight", c.hidden_size, c.intermediate_size, 1.0);
  }
  norm("norm.weight", c.hidden_size, 1.0);
  weight("image_head.weight", c.image_vocab_size, c.hidden_size, 3.0);
  if (!noisy) return t;
  t["level_embedding.weight"] = make("BF16", {c.noise.grid + 1, c.hidden_size}, 0.5);
  t["noise.mean"] = make("F32", {c.hidden_size}, 0.1);
  t["noise.scale"] = make("F32", {c.hidden_size}, 0.01, 1.0);
  t["noise.log_prior"] = make("F32", {c.image_vocab_size}, 0.1, -5.0);
  return t;
}

/// Random tensors of a picture decoder with the given channels per resolution.
inline TestTensors random_decoder(std::int64_t vocab, std::int64_t first, std::int64_t second,
                                  std::int64_t third, std::uint32_t seed) {
  RandomTensors make{seed};
  TestTensors t;
  t["codebook"] = make("F32", {vocab, 48}, 0.1, 0.5);
  for (float& value : t["codebook"].values) value = std::min(std::max(value, 0.0F), 1.0F);
  t["embed.weight"] = make("F32", {vocab, first}, 1.0);
  const auto layer = [&](const std::string& name, std::int64_t out, std::int64_t in, double gain) {
    t[name + ".weight"] =
        make("F32", {out, in, 3, 3}, gain / std::sqrt(9.0 * static_cast<double>(in)));
    t[name + ".bias"] = make("F32", {out}, 0.1);
  };
  const auto residual = [&](const std::string& name, std::int64_t channels) {
    layer(name + ".conv1", channels, channels, 1.0);
    layer(name + ".conv2", channels, channels, 1.0);
  };
  residual("res0", first);
  residual("res1", first);
  layer("up0", second, first, 1.0);
  residual("res2", second);
  layer("up1", third, second, 1.0);
  residual("res3", third);
  layer("out", 3, third, 0.1);
  return t;
}

/// Writes config.json, base.safetensors and sjd2.safetensors (same seed, so the same base tensors).
inline void write_random_model(const std::filesystem::path& directory,
                               const hosts::LlamaConfig& config, std::uint32_t seed) {
  write_bytes(directory / "config.json", config_json(config));
  write_safetensors(directory / "base.safetensors", random_model(config, false, seed));
  write_safetensors(directory / "sjd2.safetensors", random_model(config, true, seed));
}

}  // namespace sjd::test
