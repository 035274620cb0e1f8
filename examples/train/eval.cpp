// SPDX-License-Identifier: Apache-2.0
#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include <array>
#include <cstdio>
#include <random>

#include "export.hpp"
#include "session.hpp"

namespace sjd::train {
namespace {

constexpr std::int64_t sequences = 16;

/// Sums of -log p by distance behind the first noisy position.
struct ByDistance {
  static constexpr std::array<std::int64_t, 5> ends{1, 8, 32, 96, 256};
  std::array<double, ends.size()> loss{};
  std::array<double, ends.size()> count{};

  void add(std::int64_t distance, double value) {
    for (std::size_t i = 0; i < ends.size(); ++i) {
      if (distance > ends[i]) continue;
      loss[i] += value;
      count[i] += 1.0;
      return;
    }
  }
  void print(const char* title, double extra) const {
    std::printf("%-8s", title);
    for (std::size_t i = 0; i < ends.size(); ++i) std::printf(" %8.4f", loss[i] / count[i]);
    std::printf("  %8.4f\n", extra);
  }
};

/// Flat windows of one level from fixed begins, over the same pictures for every level.
ByDistance flat_windows(Transformer& model, const NoiseFrontEnd& noise, const Dataset& data,
                        std::span<const std::int64_t> chosen, std::int32_t level) {
  std::mt19937_64 engine{17};
  ByDistance sums;
  for (std::size_t begin = 0; begin + sequences <= chosen.size(); begin += sequences) {
    Batch batch = data.plain(chosen.subspan(begin, sequences), sequences);
    const std::int64_t count = data.tokens_per_picture();
    for (std::int64_t s = 0; s < sequences; ++s) {
      for (std::int64_t i = 48 + 8 * s; i < count; ++i) batch.levels[s * count + i] = level;
    }
    noise.feed(engine, batch);
    const auto& losses = model.run(batch, 0, nullptr);
    for (std::int64_t s = 0; s < sequences; ++s) {
      const std::int64_t first = 48 + 8 * s;
      for (std::int64_t i = first + 1; i < count; ++i) sums.add(i - first, losses[s * count + i]);
    }
  }
  return sums;
}

/// How often the most probable code of the posterior is the code that was perturbed.
double top1(const NoiseFrontEnd& noise, const Dataset& data, std::span<const std::int64_t> chosen,
            std::int32_t level) {
  std::mt19937_64 engine{19};
  const Batch batch = data.plain(chosen.first(8), 8);
  const std::vector<std::int32_t> levels(batch.tokens.size(), level);
  const torch::Tensor z = noise.perturb(batch.tokens, levels, engine);
  const torch::Tensor best = noise.posterior(z, levels).argmax(1).to(torch::kInt32);
  return best.eq(at::tensor(batch.tokens).to(torch::kInt32))
      .to(torch::kFloat32)
      .mean()
      .item<double>();
}

}  // namespace

int run_eval(std::span<char* const> args) {
  const StageOptions options{
      args,
      {{"data", ""}, {"checkpoint", ""}, {"weights", "average"}, {"noise", "0"}, {"feed", "none"}}};
  at::set_num_threads(1);
  flush_denormals();
  const TensorMap tensors = load_safetensors(options.text("checkpoint"));
  Weights weights{shape_of_checkpoint(tensors)};
  weights.load(tensors, options.text("weights") + ".", weights.master);
  weights.refresh_rounded();
  const Dataset data{options.text("data"), static_cast<std::size_t>(weights.shape.max_prompt)};
  Transformer model{weights, sequences, 0.0F};
  const LossFunction losses_of = [&](const Batch& batch) { return model.run(batch, 0, nullptr); };
  std::printf("split, pictures, nats per token\n");
  for (const char* split : {"train", "validation", "new_combinations", "new_concepts"}) {
    std::vector<std::int64_t> chosen = data.split(split);
    if (chosen.empty()) continue;
    if (chosen.size() > 400) chosen.resize(400);
    std::printf("%-18s %4zu  %.4f\n", split, chosen.size(),
                mean_loss(losses_of, sequences, data, chosen));
  }
  if (options.count("noise") == 0) return 0;
  const NoiseFrontEnd noise =
      front_end(weights, data, choose_feed(options.text("feed"), feed_of_checkpoint(tensors)));
  std::printf(
      "level, nats at distance 1, 2-8, 9-32, 33-96, 97.. behind the first noisy slot (targets), "
      "top-1\n");
  std::vector<std::int64_t> chosen = data.split("validation");
  for (const std::int64_t i : data.split("new_combinations")) chosen.push_back(i);
  for (std::int32_t level = 0; level <= weights.shape.levels; ++level) {
    const std::string title = std::to_string(level);
    const ByDistance sums = flat_windows(model, noise, data, chosen, level);
    sums.print(title.c_str(), level == 0 ? 1.0 : top1(noise, data, chosen, level));
  }
  return 0;
}

}  // namespace sjd::train
