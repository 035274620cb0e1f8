// SPDX-License-Identifier: Apache-2.0
#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>

#include "check_case.hpp"
#include "data_options.hpp"
#include "export.hpp"
#include "inference.hpp"
#include "transformer.hpp"

namespace sjd::train {
namespace {

constexpr std::int64_t sequences = check_sequences;

/// The same loss in fp32, by the plain tensor operations of Inference.
double reference_loss(const Weights& weights, const std::vector<float>& values,
                      const Batch& batch) {
  const ModelShape& shape = weights.shape;
  TensorMap tensors;
  weights.store(values, "", tensors);
  Inference model{shape, tensors};
  model.start(batch.first);
  const torch::Tensor codes = at::tensor(batch.tokens).view({sequences, -1}).to(torch::kInt64);
  std::vector<torch::Tensor> inputs{model.embed_prompts(batch.words)};
  const float* fed = batch.fed.data();
  for (std::int64_t i = 0; i + 1 < shape.image_tokens(); ++i) {
    torch::Tensor row = model.embed_tokens(codes.select(1, i), i);  // [sequences, 1, hidden]
    const std::int64_t last = sequences - 1;
    const std::int32_t level = batch.levels[last * shape.image_tokens() + i];
    if (level > 0) {
      torch::Tensor vector = torch::empty({1, shape.hidden});
      std::copy_n(fed, shape.hidden, vector.data_ptr<float>());
      fed += shape.hidden;
      row = at::cat({row.narrow(0, 0, last), model.embed_fed(vector, level, i)});
    }
    inputs.push_back(row);
  }
  const torch::Tensor logits =
      model.forward(at::cat(inputs, 1)).narrow(1, shape.max_prompt, shape.image_tokens());
  return at::cross_entropy_loss(logits.reshape({-1, shape.image_vocabulary}), codes.reshape({-1}))
      .item<double>();
}

/// (f(w + e g) - f(w - e g)) / (2 e |g|^2) of one tensor: 1 if g is the gradient.
double derivative_ratio(const Weights& weights, const Parameter& p,
                        const std::vector<float>& gradient, const Batch& batch) {
  const std::span<const float> g{gradient.data() + p.offset, static_cast<std::size_t>(p.count)};
  const double square = squared_norm(g);
  if (square == 0.0) return 0.0;
  const std::span<const float> w{weights.master.data() + p.offset, g.size()};
  // Long enough for fp32 to see the change of the loss, short enough for it to be straight.
  const double step = std::min(0.01 / square, 0.02 * std::sqrt(squared_norm(w) / square));
  const auto shifted = [&](double e) {
    std::vector<float> values = weights.master;
    for (std::size_t i = 0; i < g.size(); ++i) {
      values[static_cast<std::size_t>(p.offset) + i] += static_cast<float>(e * g[i]);
    }
    return reference_loss(weights, values, batch);
  };
  return (shifted(step) - shifted(-step)) / (2.0 * step * square);
}

/// The loops of kernels.hpp against finite differences of the fp32 loss.
int check_loops() {
  const c10::InferenceMode no_autograd;
  at::set_num_threads(1);
  const Weights weights = check_weights();
  const Batch batch = check_batch(weights.shape, 3);
  Transformer model{weights, sequences, 0.0F};
  std::vector<float> gradient(weights.master.size());
  const auto& losses = model.run(batch, 0, &gradient);
  double loss = 0.0;
  for (std::size_t i = 0; i < losses.size(); ++i) loss += batch.weights[i] * losses[i];
  const double reference = reference_loss(weights, weights.master, batch);
  bool is_good = std::abs(loss - reference) < 0.02;
  std::printf("loss %.4f in bf16, %.4f in fp32\n", loss, reference);
  for (const Parameter& p : weights.table.all()) {
    const double ratio = derivative_ratio(weights, p, gradient, batch);
    std::printf("%-34s slope along the gradient / |gradient|^2 = %.3f\n", p.name.c_str(), ratio);
    is_good = is_good && std::abs(ratio - 1.0) < 0.06;
  }
  std::puts(is_good ? "the backward pass agrees with finite differences" : "DISAGREEMENT");
  return is_good ? 0 : 1;
}

}  // namespace

int run_check(std::span<char* const> args) {
  const StageOptions options{args, {{"device", "cpu"}}};
  const TrainingDevice device = device_from_name(options.text("device"));
  return device.uses_aten ? check_aten(device.device) : check_loops();
}

}  // namespace sjd::train
