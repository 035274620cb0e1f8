// SPDX-License-Identifier: Apache-2.0
#include "aten_trainer.hpp"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include <chrono>

namespace sjd::train {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

torch::Tensor on_device(std::span<const float> values, torch::Device device) {
  const auto count = static_cast<std::int64_t>(values.size());
  auto* data = const_cast<float*>(values.data());  // only read
  return at::from_blob(data, {count}, torch::kFloat32).to(device, torch::kFloat32, false, true);
}

void to_host(const torch::Tensor& from, std::vector<float>& to) {
  at::from_blob(to.data(), {from.numel()}, torch::kFloat32).copy_(from);
}

torch::Tensor rounded_to_bf16(const torch::Tensor& values) {
  return values.to(torch::kBFloat16).to(torch::kFloat32);
}

std::vector<float> to_vector(const torch::Tensor& values) {
  std::vector<float> result(static_cast<std::size_t>(values.numel()));
  to_host(values, result);
  return result;
}

}  // namespace

AtenWeights::AtenWeights(const Weights& weights, torch::Device device, double weight_decay)
    : master_{on_device(weights.master, device)},
      average_{on_device(weights.average, device)},
      first_{on_device(weights.first, device)},
      second_{on_device(weights.second, device)},
      decay_{at::zeros_like(master_)},
      trainable_{at::ones_like(master_)} {
  for (const Parameter& p : weights.table.all()) {
    if (p.is_frozen) {
      trainable_.narrow(0, p.offset, p.count).zero_();
    } else if (p.is_matrix) {
      decay_.narrow(0, p.offset, p.count).fill_(weight_decay);
    }
  }
}

torch::Tensor AtenWeights::rounded() const {
  return rounded_to_bf16(master_);
}

void AtenWeights::update(const AdamStep& step, double clip, const torch::Tensor& gradient) {
  const torch::NoGradGuard no_gradient;
  torch::Tensor g = gradient * trainable_;
  g.mul_(
      g.square().sum(torch::kFloat64).sqrt().add_(1e-12).reciprocal_().mul_(clip).clamp_max_(1.0));
  first_.mul_(step.beta1).add_(g, 1.0F - step.beta1);
  second_.mul_(step.beta2).addcmul_(g, g, 1.0F - step.beta2);
  const torch::Tensor deviation = (second_ / step.correction2).sqrt_().add_(step.epsilon);
  const torch::Tensor change =
      (first_ / step.correction1).div_(deviation).addcmul_(decay_, master_);
  master_.sub_(change.mul_(trainable_), step.rate);
  average_.add_((master_ - average_).mul_(trainable_), 1.0F - step.average_decay);
}

void AtenWeights::store(Weights& weights) const {
  to_host(master_, weights.master);
  to_host(average_, weights.average);
  to_host(first_, weights.first);
  to_host(second_, weights.second);
  weights.refresh_rounded();
}

AtenTrainer::AtenTrainer(const TrainerOptions& options, const Dataset& data, const Weights& weights,
                         const NoiseFrontEnd* noise, torch::Device device)
    : options_{options},
      data_{data},
      noise_{noise},
      shape_{weights.shape},
      device_{device},
      model_{weights, device, static_cast<float>(options.dropout)},
      weights_{weights, device, options.weight_decay} {
  if (options.batch % options.micro_batch != 0) {
    throw std::invalid_argument("--batch must be a multiple of --micro-batch");
  }
}

/// Keeps parts of this and later steps in the making.
void AtenTrainer::draw_ahead(std::int64_t step) {
  const std::int64_t parts = options_.batch / options_.micro_batch;
  drawn_ = std::max(drawn_, step * parts);
  while (drawn_ < (step + 1) * parts ||
         static_cast<std::int64_t>(ahead_.size()) < options_.workers) {
    ahead_.push_back(std::async(std::launch::async, [this, parts, index = drawn_] {
      at::set_num_threads(1);
      flush_denormals();
      return draw_part(options_, data_, noise_, index / parts, index % parts);
    }));
    ++drawn_;
  }
}

std::vector<BatchPart> AtenTrainer::take_parts() {
  std::vector<BatchPart> parts;
  for (std::int64_t i = 0; i < options_.batch / options_.micro_batch; ++i) {
    parts.push_back(ahead_.front().get());
    ahead_.pop_front();
  }
  return parts;
}

double AtenTrainer::make_step(const TrainerState& state) {
  draw_ahead(state.step);
  const std::vector<BatchPart> parts = take_parts();
  draw_ahead(state.step + 1);
  std::vector<const Batch*> batches;
  std::vector<std::uint32_t> seeds;
  for (const BatchPart& part : parts) {
    batches.push_back(&part.batch);
    seeds.push_back(part.seed);
  }
  const AtenBatch batch = aten_batch(batches, shape_, device_);
  const torch::Tensor values = weights_.rounded().requires_grad_();
  const torch::Tensor loss = (model_.losses(values, batch, seeds) * batch.weights).sum();
  loss.backward();
  weights_.update(next_adam_step(options_, state), options_.clip, values.grad());
  return loss.item<double>();
}

void AtenTrainer::run(TrainerState& state, const StepObserver& observe) {
  state.fraction = used_budget(options_, state);
  bool is_running = state.fraction < 1.0;
  while (is_running) {
    const double begin = now();
    const double loss = make_step(state);
    count_step(options_, now() - begin, loss, state);
    is_running = observe(state) && state.fraction < 1.0;
  }
  ahead_.clear();  // waits for the threads that still draw
}

AtenEvaluator::AtenEvaluator(const Weights& weights, torch::Device device)
    : shape_{weights.shape}, device_{device}, model_{weights, device, 0.0F} {}

void AtenEvaluator::use(std::span<const float> values) {
  values_ = rounded_to_bf16(on_device(values, device_));
}

std::vector<float> AtenEvaluator::operator()(const Batch& batch) const {
  const torch::NoGradGuard no_gradient;
  const Batch* only = &batch;
  return to_vector(model_.losses(values_, aten_batch({&only, 1}, shape_, device_), {}));
}

}  // namespace sjd::train
