// SPDX-License-Identifier: Apache-2.0
#include <ATen/Functions.h>

#include <algorithm>

#include "inference.hpp"

namespace sjd::train {
namespace {

/// One draw from softmax(logits [classes]).
std::int64_t draw_token(const float* logits, std::int64_t classes, std::mt19937_64& engine) {
  const float top = *std::max_element(logits, logits + classes);
  double total = 0.0;
  for (std::int64_t j = 0; j < classes; ++j)
    total += std::exp(static_cast<double>(logits[j] - top));
  double rest = std::uniform_real_distribution<double>{0.0, total}(engine);
  for (std::int64_t j = 0; j < classes; ++j) {
    rest -= std::exp(static_cast<double>(logits[j] - top));
    if (rest < 0.0) return j;
  }
  return classes - 1;
}

torch::Tensor convolve(const TensorMap& decoder, const torch::Tensor& x, const std::string& name) {
  return at::conv2d(x, decoder.at(name + ".weight"), decoder.at(name + ".bias"), 1, 1);
}

torch::Tensor residual(const TensorMap& decoder, const torch::Tensor& x, const std::string& name) {
  const torch::Tensor inner = convolve(decoder, at::silu(x), name + ".conv1");
  return x + convolve(decoder, at::silu(inner), name + ".conv2");
}

torch::Tensor doubled(const torch::Tensor& x) {
  return x.repeat_interleave(2, 2).repeat_interleave(2, 3);
}

}  // namespace

torch::Tensor draw_pictures(Inference& model, const std::vector<std::int32_t>& words,
                            double guidance, std::mt19937_64& engine) {
  const ModelShape& shape = model.shape();
  const auto n = static_cast<std::int64_t>(words.size()) / shape.max_prompt;
  const bool is_guided = guidance != 1.0;
  std::vector<std::int32_t> all = words;  // second half: the empty prompt of each
  if (is_guided) all.insert(all.end(), words.size(), -1);
  std::vector<std::int32_t> first;
  for (auto row = all.begin(); row != all.end(); row += shape.max_prompt) {
    first.push_back(static_cast<std::int32_t>(
        std::find_if(row, row + shape.max_prompt, [](std::int32_t w) { return w >= 0; }) - row));
  }
  model.start(first);
  torch::Tensor codes = torch::zeros({n, shape.image_tokens()}, torch::kInt64);
  torch::Tensor inputs = model.embed_prompts(all);
  for (std::int64_t i = 0; i < shape.image_tokens(); ++i) {
    torch::Tensor logits = model.forward(inputs).select(1, inputs.size(1) - 1);
    if (is_guided) {
      const torch::Tensor plain = logits.narrow(0, n, n);
      logits = plain + guidance * (logits.narrow(0, 0, n) - plain);
    }
    logits = logits.contiguous();
    for (std::int64_t s = 0; s < n; ++s) {
      codes.data_ptr<std::int64_t>()[s * shape.image_tokens() + i] = draw_token(
          logits.data_ptr<float>() + s * shape.image_vocabulary, shape.image_vocabulary, engine);
    }
    if (i + 1 == shape.image_tokens()) break;
    const torch::Tensor drawn = codes.select(1, i);
    inputs = model.embed_tokens(is_guided ? at::cat({drawn, drawn}) : drawn, i);
  }
  return codes;
}

torch::Tensor paint_codes(const TensorMap& decoder, const torch::Tensor& codes,
                          const ModelShape& shape) {
  const c10::InferenceMode no_autograd;
  const std::int64_t n = codes.size(0);
  const torch::Tensor flat = codes.reshape({-1});
  const torch::Tensor patches = at::index_select(decoder.at("codebook"), 0, flat);
  const std::int64_t side = 4;
  torch::Tensor picture = patches.view({n, shape.rows, shape.columns, side, side, 3})
                              .permute({0, 5, 1, 3, 2, 4})
                              .reshape({n, 3, shape.rows * side, shape.columns * side});
  if (decoder.contains("embed.weight")) {
    const std::int64_t width = decoder.at("embed.weight").size(1);
    torch::Tensor x = at::index_select(decoder.at("embed.weight"), 0, flat)
                          .view({n, shape.rows, shape.columns, width})
                          .permute({0, 3, 1, 2});
    x = residual(decoder, residual(decoder, x, "res0"), "res1");
    x = residual(decoder, at::silu(convolve(decoder, doubled(x), "up0")), "res2");
    x = residual(decoder, at::silu(convolve(decoder, doubled(x), "up1")), "res3");
    picture = picture + convolve(decoder, x, "out");
  }
  return (picture.clamp(0, 1) * 255.0).round().to(torch::kUInt8).permute({0, 2, 3, 1}).contiguous();
}

}  // namespace sjd::train
