// SPDX-License-Identifier: Apache-2.0
#include "export.hpp"

#include <ATen/Functions.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "inference.hpp"
#include "session.hpp"

namespace sjd::train {
namespace {

constexpr const char* noisy_only[] = {"level_embedding.weight"};

Weights load_weights(const TensorMap& tensors, const std::string& which) {
  Weights weights{shape_of_checkpoint(tensors)};
  weights.load(tensors, which + ".", weights.master);
  return weights;
}

void write_config(const std::filesystem::path& path, const ModelShape& shape, Feed feed) {
  const nlohmann::ordered_json config{{"format", "sjd-llama"},
                                      {"version", 1},
                                      {"hidden_size", shape.hidden},
                                      {"intermediate_size", shape.intermediate},
                                      {"num_hidden_layers", shape.layers},
                                      {"num_attention_heads", shape.heads},
                                      {"num_key_value_heads", shape.kv_heads},
                                      {"head_dim", shape.head_dim},
                                      {"rms_norm_eps", 1e-5},
                                      {"rope_theta", 10000.0},
                                      {"qk_norm", true},
                                      {"text_vocab_size", shape.text_vocabulary},
                                      {"image_vocab_size", shape.image_vocabulary},
                                      {"max_prompt_tokens", shape.max_prompt},
                                      {"image_rows", shape.rows},
                                      {"image_columns", shape.columns},
                                      {"patch_size", 4},
                                      {"noise",
                                       {{"family", "vp"},
                                        {"grid", shape.levels - 1},
                                        {"rho_min", 2.0},
                                        {"rho_max", 16.0},
                                        {"rho_power", 7.0},
                                        {"feed", name_of(feed)},
                                        {"normalization", "per_channel"},
                                        {"level_embedding", "additive"}}}};
  std::ofstream{path} << config.dump(2) << "\n";
}

TensorMap clean_tensors(const Weights& weights) {
  TensorMap tensors = rounded_tensors(weights, weights.master);
  for (const char* name : noisy_only) tensors.erase(name);
  return tensors;
}

TensorMap noisy_tensors(const Weights& weights, const NoiseFrontEnd& noise) {
  TensorMap tensors = rounded_tensors(weights, weights.master);
  tensors["noise.mean"] = noise.mean();
  tensors["noise.scale"] = noise.scale();
  tensors["noise.log_prior"] = noise.log_prior();
  return tensors;
}

/// Logits of clean rows: words [n, max_prompt], codes [n, image_tokens] -> [n, image_tokens,
/// classes].
torch::Tensor clean_logits(Inference& model, const Batch& batch, const torch::Tensor& codes) {
  model.start(batch.first);
  torch::Tensor first = model.forward(model.embed_prompts(batch.words));
  std::vector<torch::Tensor> rows{first.narrow(1, first.size(1) - 1, 1)};
  std::vector<torch::Tensor> inputs;
  for (std::int64_t i = 0; i + 1 < codes.size(1); ++i) {
    inputs.push_back(model.embed_tokens(codes.select(1, i), i));
  }
  rows.push_back(model.forward(at::cat(inputs, 1)));
  return at::cat(rows, 1).contiguous();
}

/// A window of noisy slots behind a clean prefix, as a decoder would ask for it.
struct NoisyExample {
  torch::Tensor codes;  ///< [tokens] int32, clean up to `begin`
  torch::Tensor z;      ///< [tokens, hidden], normalised noisy embeddings, 0 where clean
  torch::Tensor
      vectors;  ///< [tokens, hidden], fed vectors before the level embedding, 0 where clean
  torch::Tensor levels;  ///< [tokens] int32
  torch::Tensor logits;  ///< [tokens, classes]; row i predicts x_i
};

NoisyExample noisy_example(Inference& model, const NoiseFrontEnd& noise, const Batch& batch) {
  const ModelShape& shape = model.shape();
  const std::int64_t count = shape.image_tokens();
  std::mt19937_64 engine{13};
  std::vector<std::int32_t> levels(static_cast<std::size_t>(count), 0);
  for (std::int64_t i = 60; i < count; ++i) {
    levels[static_cast<std::size_t>(i)] =
        static_cast<std::int32_t>(std::min<std::int64_t>(1 + (i - 60) / 8, shape.levels));
  }
  std::vector<torch::Tensor> inputs;
  NoisyExample out{torch::zeros({count}, torch::kInt32),
                   torch::zeros({count, shape.hidden}),
                   torch::zeros({count, shape.hidden}),
                   torch::zeros({count}, torch::kInt32),
                   {}};
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t token = batch.tokens[static_cast<std::size_t>(i)];
    const std::int32_t level = levels[static_cast<std::size_t>(i)];
    out.codes[i] = token;
    out.levels[i] = level;
    if (level > 0) {
      const torch::Tensor z = noise.perturb({token}, {level}, engine);
      out.z[i].copy_(z[0]);
      out.vectors[i].copy_(noise.fed(z, {level})[0]);
    }
    if (i + 1 == count) break;
    inputs.push_back(level == 0 ? model.embed_tokens(torch::full({1}, token, torch::kInt64), i)
                                : model.embed_fed(out.vectors[i].unsqueeze(0), level, i));
  }
  model.start({batch.first[0]});
  const std::vector<std::int32_t> words{batch.words.begin(),
                                        batch.words.begin() + shape.max_prompt};
  const torch::Tensor first = model.forward(model.embed_prompts(words));
  const torch::Tensor rest = model.forward(at::cat(inputs, 1));
  out.logits = at::cat({first.narrow(1, first.size(1) - 1, 1), rest}, 1)[0].contiguous();
  return out;
}

torch::Tensor as_int32(const std::vector<std::int32_t>& values, std::int64_t rows) {
  return at::tensor(values).view({rows, -1}).to(torch::kInt32);
}

void write_reference(const std::filesystem::path& path, const Dataset& data, const Weights& base,
                     const Weights* noisy, const NoiseFrontEnd* noise) {
  std::vector<std::int64_t> chosen = data.split("train");
  chosen = {chosen[0], chosen[chosen.size() / 3], chosen[chosen.size() / 2]};
  Batch batch = data.plain(chosen, 3);
  std::mt19937_64 engine{11};
  for (std::int32_t& token : batch.tokens) {
    token = static_cast<std::int32_t>(engine() %
                                      static_cast<std::uint64_t>(base.shape.image_vocabulary));
  }
  const torch::Tensor codes = as_int32(batch.tokens, 3);
  Inference model{base.shape, rounded_tensors(base, base.master)};
  TensorMap out{{"words", as_int32(batch.words, 3)}, {"codes", codes}};
  out["base.logits"] = clean_logits(model, batch, codes.to(torch::kInt64));
  if (noisy != nullptr) {
    Inference denoiser{noisy->shape, rounded_tensors(*noisy, noisy->master)};
    out["sjd2.clean_logits"] = clean_logits(denoiser, batch, codes.to(torch::kInt64));
    const Batch plain = data.plain(chosen, 3);
    const NoisyExample example = noisy_example(denoiser, *noise, plain);
    out["noisy.words"] =
        as_int32({plain.words.begin(), plain.words.begin() + base.shape.max_prompt}, 1);
    out["noisy.codes"] = example.codes;
    out["noisy.z"] = example.z;
    out["noisy.fed"] = example.vectors;
    out["noisy.levels"] = example.levels;
    out["noisy.logits"] = example.logits;
  }
  save_safetensors(path, out);
}

void copy_tokenizer(const std::filesystem::path& source, const std::filesystem::path& folder) {
  for (const char* name : {"tokenizer.json", "prompts.json", "decoder.safetensors"}) {
    if (!std::filesystem::exists(source / name)) continue;
    std::filesystem::copy_file(source / name, folder / name,
                               std::filesystem::copy_options::overwrite_existing);
  }
}

}  // namespace

int run_export(std::span<char* const> args) {
  const StageOptions options{args,
                             {{"base", ""},
                              {"denoise", "none"},
                              {"data", ""},
                              {"output", ""},
                              {"feed", "none"},
                              {"weights", "average"},
                              {"reference", "none"}}};
  const c10::InferenceMode no_autograd;
  const std::filesystem::path folder = options.text("output");
  const std::filesystem::path source = options.text("data");
  const TensorMap base_tensors = load_safetensors(options.text("base"));
  const Weights base = load_weights(base_tensors, options.text("weights"));
  const Dataset data{source, static_cast<std::size_t>(base.shape.max_prompt)};
  // Without a fine-tuned checkpoint the base stands in: its level embedding is zero.
  const std::string denoise = options.text("denoise");
  const TensorMap noisy_source = denoise == "none" ? base_tensors : load_safetensors(denoise);
  const Weights noisy = load_weights(noisy_source, options.text("weights"));
  const Feed feed = choose_feed(options.text("feed"), feed_of_checkpoint(noisy_source));
  const NoiseFrontEnd noise = front_end(noisy, data, feed);
  std::filesystem::create_directories(folder);
  save_safetensors(folder / "base.safetensors", clean_tensors(base));
  save_safetensors(folder / "sjd2.safetensors", noisy_tensors(noisy, noise));
  write_config(folder / "config.json", base.shape, feed);
  copy_tokenizer(source, folder);
  if (options.text("reference") != "none") {
    write_reference(options.text("reference"), data, base, &noisy, &noise);
  }
  std::printf("wrote %s\n", folder.c_str());
  return 0;
}

}  // namespace sjd::train
