// SPDX-License-Identifier: Apache-2.0
#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <span>
#include <vector>

#include "aten_trainer.hpp"
#include "check_case.hpp"

namespace sjd::train {
namespace {

constexpr float dropout = 0.25F;
constexpr std::array<std::uint32_t, 2> seeds{11U, 0xdeadbeefU};

/// Losses of all parts one after the other, and the gradient of their weighted sum.
struct Result {
  std::vector<float> losses;
  std::vector<float> gradient;
};

Result by_loops(const Weights& weights, std::span<const Batch> parts) {
  Transformer model{weights, check_sequences, dropout};
  Result result;
  result.gradient.resize(weights.master.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto& losses = model.run(parts[i], seeds[i], &result.gradient);
    result.losses.insert(result.losses.end(), losses.begin(), losses.end());
  }
  return result;
}

std::vector<float> to_vector(const torch::Tensor& values) {
  const torch::Tensor own = values.detach().to(torch::kCPU).contiguous();
  return {own.data_ptr<float>(), own.data_ptr<float>() + own.numel()};
}

Result by_aten(const Weights& weights, std::span<const Batch> parts, c10::Device device) {
  std::vector<const Batch*> all;
  for (const Batch& part : parts) all.push_back(&part);
  const AtenModel model{weights, device, dropout};
  const AtenBatch batch = aten_batch(all, weights.shape, device);
  const torch::Tensor values = AtenWeights{weights, device, 0.1}.rounded().requires_grad_();
  const torch::Tensor losses = model.losses(values, batch, {seeds.begin(), seeds.end()});
  (losses * batch.weights).sum().backward();
  return {to_vector(losses), to_vector(values.grad())};
}

/// |a - b| / |b|
double relative_distance(std::span<const float> a, std::span<const float> b) {
  double difference = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(double{a[i]} - double{b[i]}, 2.0);
  }
  return std::sqrt(difference / std::max(squared_norm(b), 1e-30));
}

bool report(const char* what, double found, double allowed) {
  const bool is_good = found <= allowed;
  std::printf("%-34s differs by %.2e of its size, allowed %.0e%s\n", what, found, allowed,
              is_good ? "" : "  TOO MUCH");
  return is_good;
}

/// The same gradient through both optimizers, twice, with one frozen tensor and clipping.
bool updates_agree(Weights weights, const std::vector<float>& gradient, c10::Device device) {
  weights.table["image_embedding.weight"].is_frozen = true;
  Weights loops = weights;
  AtenWeights aten{weights, device, 0.1};
  std::vector<float> g = gradient;
  const Parameter& frozen = weights.table["image_embedding.weight"];
  const torch::Tensor on_device =
      at::from_blob(g.data(), {static_cast<std::int64_t>(g.size())}, torch::kFloat32)
          .to(device, torch::kFloat32, false, true);
  std::fill_n(g.begin() + frozen.offset, frozen.count, 0.0F);
  const double clip = 0.5 * std::sqrt(squared_norm(g));
  TrainerOptions options;
  options.warmup = 1;
  for (std::int64_t count = 0; count < 2; ++count) {
    AdamStep step = next_adam_step(options, {.step = count});
    aten.update(step, clip, on_device);
    step.gradient_scale = static_cast<float>(std::min(1.0, clip / std::sqrt(squared_norm(g))));
    for (const Parameter& p : loops.table.all()) {
      if (p.is_frozen) continue;
      adam_update(step, p.is_matrix ? 0.1F : 0.0F, p.count, g.data() + p.offset,
                  loops.master.data() + p.offset, loops.first.data() + p.offset,
                  loops.second.data() + p.offset, loops.average.data() + p.offset,
                  loops.rounded.data() + p.offset);
    }
  }
  aten.store(weights);
  bool is_good =
      report("weights after two steps", relative_distance(weights.master, loops.master), 1e-6);
  is_good &= report("their average", relative_distance(weights.average, loops.average), 1e-6);
  is_good &= report("first moments", relative_distance(weights.first, loops.first), 1e-5);
  is_good &= report("second moments", relative_distance(weights.second, loops.second), 1e-5);
  return is_good;
}

}  // namespace

int check_aten(c10::Device device) {
  at::set_num_threads(1);
  const Weights weights = check_weights();
  const std::array<Batch, 2> parts{check_batch(weights.shape, 3), check_batch(weights.shape, 4)};
  const Result loops = by_loops(weights, parts);
  const Result aten = by_aten(weights, parts, device);
  bool is_good = report("losses", relative_distance(aten.losses, loops.losses), 1e-2);
  for (const Parameter& p : weights.table.all()) {
    const auto of = [&](const Result& result) {
      return std::span{result.gradient}.subspan(static_cast<std::size_t>(p.offset),
                                                static_cast<std::size_t>(p.count));
    };
    is_good &= report(p.name.c_str(), relative_distance(of(aten), of(loops)), 3e-2);
  }
  is_good &= updates_agree(weights, loops.gradient, device);
  std::puts(is_good ? "LibTorch's operations agree with the loops" : "DISAGREEMENT");
  return is_good ? 0 : 1;
}

}  // namespace sjd::train
