// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "sjd/hosts/json.hpp"

namespace sjd::hosts {

/// The noise that a checkpoint was trained with.
struct LlamaNoise {
  std::int32_t grid = 0;
  float rho_min = 0.0F;
  float rho_max = 0.0F;
  bool posterior_mean = false;
  bool per_channel = false;
};

/// config.json of a model directory; the fields are described in docs/checkpoint.md.
struct LlamaConfig {
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  float rms_norm_eps = 0.0F;
  double rope_theta = 0.0;
  bool qk_norm = false;
  std::int64_t text_vocab_size = 0;
  std::int64_t image_vocab_size = 0;
  std::int64_t max_prompt_tokens = 0;
  std::int64_t image_rows = 0;
  std::int64_t image_columns = 0;
  std::int64_t patch_size = 0;
  LlamaNoise noise;

  [[nodiscard]] std::int64_t image_tokens() const { return image_rows * image_columns; }
};

namespace detail {

inline LlamaNoise read_noise(const JsonField& json) {
  json.only({"family", "grid", "rho_min", "rho_max", "rho_power", "feed", "normalization",
             "level_embedding"});
  const auto expect = [&](std::string_view name, std::string_view value) {
    const JsonField field = json[name];
    if (field.text() != value) {
      field.refuse("is \"" + printable(field.text()) + "\", only \"" + std::string{value} +
                   "\" can be decoded");
    }
  };
  expect("family", "vp");
  expect("level_embedding", "additive");
  const auto choice = [&](std::string_view name, std::string_view yes, std::string_view no) {
    const JsonField field = json[name];
    if (field.text() != yes && field.text() != no) {
      field.refuse("is neither \"" + std::string{yes} + "\" nor \"" + std::string{no} + "\"");
    }
    return field.text() == yes;
  };
  if (json["rho_power"].real(0.0, 1e3) != 7.0) json["rho_power"].refuse("is not 7");
  LlamaNoise noise;
  noise.grid = static_cast<std::int32_t>(json["grid"].integer(1, 4096));
  noise.rho_min = static_cast<float>(json["rho_min"].real(1e-6, 1e6));
  noise.rho_max = static_cast<float>(json["rho_max"].real(json["rho_min"].real(1e-6, 1e6), 1e6));
  noise.posterior_mean = choice("feed", "posterior_mean", "raw");
  noise.per_channel = choice("normalization", "per_channel", "per_token");
  return noise;
}

}  // namespace detail

/// Reads and checks config.json.
///
/// edge    hidden_size, intermediate_size, head_dim and image_vocab_size are multiples of 32: the
///         reference engine packs 32 outputs side by side
/// errors  bad_file naming the field, also for a field that this version does not know
[[nodiscard]] inline LlamaConfig read_llama_config(const std::filesystem::path& path) {
  const JsonField json = JsonField::read(path);
  json.only({"format", "version", "hidden_size", "intermediate_size", "num_hidden_layers",
             "num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta",
             "qk_norm", "text_vocab_size", "image_vocab_size", "max_prompt_tokens", "image_rows",
             "image_columns", "patch_size", "noise"});
  if (json["format"].text() != "sjd-llama") json["format"].refuse("is not \"sjd-llama\"");
  static_cast<void>(json["version"].integer(1, 1));
  const auto multiple_of_32 = [&](std::string_view name, std::int64_t most) {
    const std::int64_t value = json[name].integer(32, most);
    if (value % 32 != 0) json[name].refuse("is not a multiple of 32");
    return value;
  };
  LlamaConfig config;
  config.hidden_size = multiple_of_32("hidden_size", 65'536);
  config.intermediate_size = multiple_of_32("intermediate_size", 262'144);
  config.layers = json["num_hidden_layers"].integer(1, 1'024);
  config.heads = json["num_attention_heads"].integer(1, 1'024);
  config.kv_heads = json["num_key_value_heads"].integer(1, config.heads);
  if (config.heads % config.kv_heads != 0) {
    json["num_key_value_heads"].refuse("does not divide num_attention_heads");
  }
  config.head_dim = multiple_of_32("head_dim", 1'024);
  config.rms_norm_eps = static_cast<float>(json["rms_norm_eps"].real(1e-12, 1.0));
  config.rope_theta = json["rope_theta"].real(1.0, 1e12);
  config.qk_norm = json["qk_norm"].boolean();
  config.text_vocab_size = json["text_vocab_size"].integer(2, std::int64_t{1} << 20);
  config.image_vocab_size = multiple_of_32("image_vocab_size", std::int64_t{1} << 20);
  config.max_prompt_tokens = json["max_prompt_tokens"].integer(0, 65'536);
  config.image_rows = json["image_rows"].integer(1, 1'024);
  config.image_columns = json["image_columns"].integer(1, 1'024);
  config.patch_size = json["patch_size"].integer(1, 64);
  config.noise = detail::read_noise(json["noise"]);
  return config;
}

}  // namespace sjd::hosts
