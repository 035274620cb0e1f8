// SPDX-License-Identifier: Apache-2.0
#include "trainer.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cmath>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "safetensors_io.hpp"

namespace sjd::train {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// One stream per (run, step, part of the batch): what is drawn does not depend on the number of
/// workers.
std::mt19937_64 engine_for(std::uint64_t seed, std::int64_t step, std::int64_t part) {
  std::seed_seq sequence{seed, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(part)};
  return std::mt19937_64{sequence};
}

}  // namespace

double used_budget(const TrainerOptions& options, const TrainerState& state) {
  const double of_time = state.seconds / (60.0 * options.minutes);
  if (options.steps <= 0) return of_time;
  return std::max(of_time, static_cast<double>(state.step) / static_cast<double>(options.steps));
}

double learning_rate(const TrainerOptions& options, const TrainerState& state) {
  const double warm =
      std::min(1.0, static_cast<double>(state.step + 1) /
                        static_cast<double>(std::max<std::int64_t>(options.warmup, 1)));
  const double cosine = 0.5 * (1.0 + std::cos(3.14159265358979 * std::min(state.fraction, 1.0)));
  return warm * (options.final_rate + (options.rate - options.final_rate) * cosine);
}

AdamStep next_adam_step(const TrainerOptions& options, const TrainerState& state) {
  const auto count = static_cast<double>(state.step + 1);
  AdamStep step;
  step.rate = static_cast<float>(learning_rate(options, state));
  step.correction1 = static_cast<float>(1.0 - std::pow(step.beta1, count));
  step.correction2 = static_cast<float>(1.0 - std::pow(step.beta2, count));
  step.average_decay =
      static_cast<float>(std::min(options.average_decay, (1 + count) / (10 + count)));
  return step;
}

void count_step(const TrainerOptions& options, double seconds, double loss, TrainerState& state) {
  state.rate = learning_rate(options, state);
  state.loss = loss;
  ++state.step;
  state.step_seconds = seconds;
  state.seconds += seconds;
  state.fraction = used_budget(options, state);
}

BatchPart draw_part(const TrainerOptions& options, const Dataset& data, const NoiseFrontEnd* noise,
                    std::int64_t step, std::int64_t part) {
  const std::int64_t parts = options.batch / options.micro_batch;
  auto engine = engine_for(options.seed, step, part);
  Batch batch = data.draw(options.micro_batch, options.draw, engine);
  if (options.segments) noise->apply(*options.segments, engine, batch);
  double total = 0.0;
  for (const float w : batch.weights) total += w;
  for (float& w : batch.weights) w /= static_cast<float>(total) * static_cast<float>(parts);
  const auto seed = static_cast<std::uint32_t>(engine());
  return {std::move(batch), seed};
}

struct Trainer::Shared {
  explicit Shared(std::int64_t workers) : barrier{workers} {}

  std::barrier<> barrier;
  std::mutex mutex;
  std::exception_ptr failure;
  bool is_running = true;
};

Trainer::~Trainer() = default;

Trainer::Trainer(const TrainerOptions& options, const Dataset& data, Weights& weights,
                 const NoiseFrontEnd* noise)
    : options_{options}, data_{data}, weights_{weights}, noise_{noise} {
  if (options.batch % options.micro_batch != 0) {
    throw std::invalid_argument("--batch must be a multiple of --micro-batch");
  }
  for (std::int64_t i = 0; i < options.workers; ++i) {
    models_.push_back(std::make_unique<Transformer>(weights, options.micro_batch,
                                                    static_cast<float>(options.dropout)));
    gradients_.emplace_back(static_cast<std::size_t>(weights.table.count()));
  }
  losses_.resize(static_cast<std::size_t>(options.workers));
  squares_.resize(static_cast<std::size_t>(options.workers));
  shared_ = std::make_unique<Shared>(options.workers);
}

std::pair<std::int64_t, std::int64_t> Trainer::slice(std::int64_t worker) const {
  const std::int64_t count = weights_.table.count();
  return {count * worker / options_.workers, count * (worker + 1) / options_.workers};
}

void Trainer::gradient_of_share(std::int64_t worker, std::int64_t step) {
  const auto index = static_cast<std::size_t>(worker);
  std::fill(gradients_[index].begin(), gradients_[index].end(), 0.0F);
  losses_[index] = 0.0;
  const std::int64_t parts = options_.batch / options_.micro_batch;
  for (std::int64_t part = worker; part < parts; part += options_.workers) {
    const BatchPart drawn = draw_part(options_, data_, noise_, step, part);
    const Batch& batch = drawn.batch;
    const auto& losses = models_[index]->run(batch, drawn.seed, &gradients_[index]);
    for (std::size_t i = 0; i < losses.size(); ++i) losses_[index] += batch.weights[i] * losses[i];
  }
}

void Trainer::reduce_slice(std::int64_t worker) {
  const auto [begin, end] = slice(worker);
  std::vector<float>& sum = gradients_[0];
  for (std::size_t other = 1; other < gradients_.size(); ++other) {
    const float* from = gradients_[other].data();
    for (std::int64_t i = begin; i < end; ++i) sum[static_cast<std::size_t>(i)] += from[i];
  }
  for (const Parameter& p : weights_.table.all()) {
    if (!p.is_frozen) continue;
    const std::int64_t low = std::clamp(p.offset, begin, end);
    const std::int64_t high = std::clamp(p.offset + p.count, begin, end);
    std::fill(sum.begin() + low, sum.begin() + high, 0.0F);
  }
  squares_[static_cast<std::size_t>(worker)] =
      squared_norm({sum.data() + begin, static_cast<std::size_t>(end - begin)});
}

void Trainer::update_slice(std::int64_t worker, const TrainerState& state) {
  const auto [begin, end] = slice(worker);
  double square = 0.0;
  for (const double s : squares_) square += s;
  AdamStep step = next_adam_step(options_, state);
  step.gradient_scale =
      static_cast<float>(std::min(1.0, options_.clip / (std::sqrt(square) + 1e-12)));
  for (const Parameter& p : weights_.table.all()) {
    if (p.is_frozen) continue;
    const std::int64_t low = std::clamp(p.offset, begin, end);
    const std::int64_t length = std::clamp(p.offset + p.count, begin, end) - low;
    const auto decay = static_cast<float>(p.is_matrix ? options_.weight_decay : 0.0);
    adam_update(step, decay, length, gradients_[0].data() + low, weights_.master.data() + low,
                weights_.first.data() + low, weights_.second.data() + low,
                weights_.average.data() + low, weights_.rounded.data() + low);
  }
}

void Trainer::work(std::int64_t worker, TrainerState& state, const StepObserver& observe) {
  at::set_num_threads(1);
  flush_denormals();
  double last = now();
  while (shared_->is_running) {
    try {
      gradient_of_share(worker, state.step);
    } catch (...) {
      const std::scoped_lock lock{shared_->mutex};
      shared_->failure = std::current_exception();
    }
    shared_->barrier.arrive_and_wait();
    if (shared_->failure) return;
    reduce_slice(worker);
    shared_->barrier.arrive_and_wait();
    update_slice(worker, state);
    shared_->barrier.arrive_and_wait();
    if (worker == 0) {
      finish_step(now() - last, state, observe);
      last = now();
    }
    shared_->barrier.arrive_and_wait();
  }
}

void Trainer::finish_step(double seconds, TrainerState& state, const StepObserver& observe) {
  double loss = 0.0;
  for (const double of_worker : losses_) loss += of_worker;
  count_step(options_, seconds, loss, state);
  try {
    shared_->is_running = observe(state) && state.fraction < 1.0;
  } catch (...) {
    shared_->failure = std::current_exception();
    shared_->is_running = false;
  }
}

void Trainer::run(TrainerState& state, const StepObserver& observe) {
  state.fraction = used_budget(options_, state);
  if (state.fraction >= 1.0) return;
  {
    std::vector<std::jthread> threads;
    for (std::int64_t i = 1; i < options_.workers; ++i) {
      threads.emplace_back([&, i] { work(i, state, observe); });
    }
    work(0, state, observe);
  }
  if (shared_->failure) std::rethrow_exception(shared_->failure);
}

void save_checkpoint(const std::filesystem::path& path, const Weights& weights,
                     const TrainerState& state, std::optional<Feed> feed) {
  TensorMap tensors;
  weights.store(weights.master, "weights.", tensors);
  weights.store(weights.average, "average.", tensors);
  weights.store(weights.first, "first.", tensors);
  weights.store(weights.second, "second.", tensors);
  tensors["state.step"] = torch::full({1}, state.step, torch::kInt32);
  tensors["state.seconds"] = torch::full({1}, state.seconds, torch::kFloat32);
  if (feed) tensors["state.feed"] = torch::full({1}, *feed == Feed::raw ? 0 : 1, torch::kInt32);
  const std::filesystem::path fresh = path.string() + ".new";
  save_safetensors(fresh, tensors);
  if (std::filesystem::exists(path)) {
    // A second name, not a move: at no moment is there no checkpoint called `path`.
    const std::filesystem::path previous = path.string() + ".previous";
    std::filesystem::remove(previous);
    std::filesystem::create_hard_link(path, previous);
  }
  std::filesystem::rename(fresh, path);
}

void load_checkpoint(const std::filesystem::path& path, Weights& weights, TrainerState& state) {
  const TensorMap tensors = load_safetensors(path);
  weights.load(tensors, "weights.", weights.master);
  weights.load(tensors, "average.", weights.average);
  weights.load(tensors, "first.", weights.first);
  weights.load(tensors, "second.", weights.second);
  weights.refresh_rounded();
  state.step = tensors.at("state.step").data_ptr<std::int32_t>()[0];
  state.seconds = tensors.at("state.seconds").data_ptr<float>()[0];
}

}  // namespace sjd::train
