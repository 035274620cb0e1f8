// SPDX-License-Identifier: Apache-2.0
#include "samples.hpp"

#include <ATen/Functions.h>

#include <random>

#include "picture_io.hpp"

namespace sjd::train {
namespace {

constexpr std::size_t prompts_per_split = 5;

/// Pictures spread evenly over a split.
std::vector<std::int64_t> spread(const std::vector<std::int64_t>& all, std::size_t count) {
  std::vector<std::int64_t> chosen;
  for (std::size_t k = 0; k < count && k < all.size(); ++k) {
    chosen.push_back(all[(2 * k + 1) * all.size() / (2 * count)]);
  }
  return chosen;
}

std::vector<std::int64_t> sample_pictures(const Dataset& data) {
  std::vector<std::int64_t> chosen;
  for (const char* split : {"train", "new_combinations", "new_concepts"}) {
    for (const std::int64_t i : spread(data.split(split), prompts_per_split)) chosen.push_back(i);
  }
  return chosen;
}

}  // namespace

std::vector<std::string> sample_prompts(const Dataset& data) {
  std::vector<std::string> names;
  for (const std::int64_t i : sample_pictures(data)) {
    names.push_back(data.pictures()[static_cast<std::size_t>(i)].name);
  }
  return names;
}

void write_samples(const std::filesystem::path& path, const std::filesystem::path& data_folder,
                   const Dataset& data, const Weights& weights, const std::vector<float>& source) {
  const c10::InferenceMode no_autograd;
  const std::filesystem::path decoder_file = data_folder / "decoder.safetensors";
  if (!std::filesystem::exists(decoder_file)) return;
  const TensorMap decoder = load_safetensors(decoder_file);
  Inference model{weights.shape, rounded_tensors(weights, source)};
  const std::vector<std::int64_t> chosen = sample_pictures(data);
  const auto columns = static_cast<std::int64_t>(chosen.size());
  const Batch batch = data.plain(chosen, columns);
  std::mt19937_64 engine{7};
  const torch::Tensor truth = at::tensor(batch.tokens).view({columns, -1}).to(torch::kInt64);
  const torch::Tensor guided = draw_pictures(model, batch.words, 3.0, engine);
  const torch::Tensor plain = draw_pictures(model, batch.words, 1.0, engine);
  const torch::Tensor tiles = paint_codes(decoder, at::cat({truth, guided, plain}), weights.shape);
  const std::span<const std::uint8_t> pixels{tiles.data_ptr<std::uint8_t>(),
                                             static_cast<std::size_t>(tiles.numel())};
  write_png(path, tile_grid(pixels, 3, columns, tiles.size(1)));
}

}  // namespace sjd::train
