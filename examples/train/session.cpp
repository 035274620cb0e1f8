// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include <malloc.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <utility>

#include "aten_trainer.hpp"
#include "samples.hpp"

namespace sjd::train {
namespace {

volatile std::sig_atomic_t stop_signal = 0;

void catch_signals() {
  const auto handler = [](int signal) { stop_signal = signal; };
  std::signal(SIGINT, handler);
  std::signal(SIGTERM, handler);
}

/// Freed buffers stay with the process: a page fault for every page of every step would cost more
/// than the arithmetic on it.
void keep_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2147483647);
}

constexpr std::int64_t judged_at_once = 16;

/// Losses under the averages of `weights`, as they are at each call of the factory.
using AverageLosses = std::function<LossFunction()>;

AverageLosses average_losses(const Weights& weights, const TrainingDevice& device) {
  if (device.uses_aten) {
    const auto model = std::make_shared<AtenEvaluator>(weights, device.device);
    return [model, &weights]() -> LossFunction {
      model->use(weights.average);
      return [model](const Batch& batch) { return (*model)(batch); };
    };
  }
  const auto averaged = std::make_shared<Weights>(weights.shape);
  const auto model = std::make_shared<Transformer>(*averaged, judged_at_once, 0.0F);
  return [averaged, model, &weights]() -> LossFunction {
    averaged->master = weights.average;
    averaged->refresh_rounded();
    return [averaged, model](const Batch& batch) { return model->run(batch, 0, nullptr); };
  };
}

/// What happens between the steps of a run.
class Session {
 public:
  Session(const StageOptions& options, const TrainerOptions& trainer, const Dataset& data,
          const Weights& weights, AverageLosses losses)
      : data_{data},
        weights_{weights},
        average_losses_{std::move(losses)},
        progress_{options.text("output")},
        checkpoint_{trainer.checkpoint},
        feed_{trainer.segments ? std::optional{trainer.feed} : std::nullopt},
        batch_{trainer.batch},
        report_every_{number(options, "report-seconds")},
        save_every_{number(options, "save-seconds")},
        sample_every_{number(options, "sample-seconds")},
        folder_{options.text("output")},
        data_folder_{options.text("data")} {
    for (const char* split : {"validation", "new_combinations", "new_concepts"}) {
      chosen_[split] = data.split(split);
    }
  }

  /// `fetch` makes the weights those of `state`; it is called before they are looked at.
  bool observe(const TrainerState& state, const std::function<void()>& fetch) {
    if (first_) begin(state);
    losses_ += state.loss;
    ++steps_;
    const bool is_last = stop_signal != 0 || state.fraction >= 1.0;
    const bool reports = is_last || state.seconds - reported_ >= report_every_;
    const bool saves = is_last || state.seconds - saved_ >= save_every_;
    const bool is_done = stop_signal == 0 && is_last;
    const bool samples = is_done || state.seconds - sampled_ >= sample_every_;
    if (reports || saves || samples) fetch();
    if (reports) report(state);
    if (saves) {
      save_checkpoint(checkpoint_, weights_, state, feed_);
      saved_ = state.seconds;
    }
    if (samples) sample(state);
    return stop_signal == 0;
  }

 private:
  void begin(const TrainerState& state) {
    first_ = false;
    const double begun = state.seconds - state.step_seconds;
    reported_ = begun;
    saved_ = begun;
    sampled_ = begun;
  }

  void sample(const TrainerState& state) {
    const std::string name = "samples-" + std::to_string(state.step) + ".png";
    write_samples(folder_ / name, data_folder_, data_, weights_, weights_.average);
    sampled_ = state.seconds;
  }

  void report(const TrainerState& state) {
    const LossFunction losses_of = average_losses_();
    Measures measures{{"train", losses_ / static_cast<double>(steps_)}};
    for (const auto& [split, pictures] : chosen_) {
      if (pictures.empty()) continue;
      const std::size_t count = std::min<std::size_t>(pictures.size(), 96);
      measures[split] =
          mean_loss(losses_of, judged_at_once, data_, std::span{pictures}.first(count));
    }
    const auto tokens = static_cast<double>(steps_ * batch_ * data_.tokens_per_picture());
    progress_.report(state, tokens / (state.seconds - reported_), measures);
    losses_ = 0.0;
    steps_ = 0;
    reported_ = state.seconds;
  }

  const Dataset& data_;
  const Weights& weights_;
  AverageLosses average_losses_;
  Progress progress_;
  std::filesystem::path checkpoint_;
  std::optional<Feed> feed_;
  std::int64_t batch_;
  double report_every_;
  double save_every_;
  double sample_every_;
  std::filesystem::path folder_;
  std::filesystem::path data_folder_;
  std::map<std::string, std::vector<std::int64_t>> chosen_;
  bool first_ = true;
  double losses_ = 0.0;
  std::int64_t steps_ = 0;
  double reported_ = 0.0;
  double saved_ = 0.0;
  double sampled_ = 0.0;
};

}  // namespace

std::map<std::string, std::string> session_defaults() {
  return {{"data", ""},
          {"output", ""},
          {"minutes", "75"},
          {"steps", "0"},
          {"batch", "32"},
          {"micro-batch", "16"},
          {"workers", "1"},
          {"device", "cpu"},
          {"rate", "1.5e-3"},
          {"final-rate", "1e-4"},
          {"warmup", "200"},
          {"decay", "0.1"},
          {"dropout", "0.1"},
          {"average", "0.998"},
          {"clip", "1"},
          {"seed", "1"},
          {"empty", "0.1"},
          {"name-only", "0.6"},
          {"plain", "0"},
          {"report-seconds", "60"},
          {"save-seconds", "180"},
          {"sample-seconds", "600"}};
}

double number(const StageOptions& options, const std::string& name) {
  const std::string& text = options.text(name);
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size()) {
    throw std::invalid_argument("option --" + name + ": " + text + " is not a number");
  }
  return value;
}

TrainerOptions trainer_options(const StageOptions& options) {
  // Before anything is read or computed: a missing device shows at once, and its library comes
  // first.
  static_cast<void>(device_from_name(options.text("device")));
  TrainerOptions trainer;
  trainer.minutes = number(options, "minutes");
  trainer.steps = options.count("steps");
  trainer.batch = options.count("batch");
  trainer.micro_batch = options.count("micro-batch");
  trainer.workers = options.count("workers");
  trainer.rate = number(options, "rate");
  trainer.final_rate = number(options, "final-rate");
  trainer.warmup = options.count("warmup");
  trainer.weight_decay = number(options, "decay");
  trainer.dropout = number(options, "dropout");
  trainer.average_decay = number(options, "average");
  trainer.clip = number(options, "clip");
  trainer.seed = static_cast<std::uint64_t>(options.count("seed"));
  trainer.draw.empty = number(options, "empty");
  trainer.draw.name_only = number(options, "name-only");
  trainer.draw.plain = number(options, "plain");
  return trainer;
}

double mean_loss(const LossFunction& losses_of, std::int64_t sequences, const Dataset& data,
                 std::span<const std::int64_t> chosen) {
  double total = 0.0;
  double count = 0.0;
  for (std::size_t begin = 0; begin < chosen.size(); begin += static_cast<std::size_t>(sequences)) {
    const auto size = std::min(chosen.size() - begin, static_cast<std::size_t>(sequences));
    const Batch batch = data.plain(chosen.subspan(begin, size), sequences);
    const std::vector<float> losses = losses_of(batch);
    for (std::size_t i = 0; i < losses.size(); ++i) {
      total += batch.weights[i] * losses[i];
      count += batch.weights[i];
    }
  }
  return total / count;
}

int run_session(const StageOptions& options, const TrainerOptions& trainer_options,
                const Dataset& data, Weights& weights, const NoiseFrontEnd* noise) {
  keep_memory();
  catch_signals();
  TrainerState state;
  if (std::filesystem::exists(trainer_options.checkpoint)) {
    load_checkpoint(trainer_options.checkpoint, weights, state);
    std::printf("resumed %s at step %lld, %s trained\n", trainer_options.checkpoint.c_str(),
                static_cast<long long>(state.step), clock_text(state.seconds).c_str());
  }
  const TrainingDevice device = device_from_name(options.text("device"));
  Session session{options, trainer_options, data, weights, average_losses(weights, device)};
  if (device.uses_aten) {
    AtenTrainer trainer{trainer_options, data, weights, noise, device.device};
    const auto fetch = [&] { trainer.store(weights); };
    trainer.run(state, [&](const TrainerState& s) { return session.observe(s, fetch); });
  } else {
    Trainer trainer{trainer_options, data, weights, noise};
    trainer.run(state, [&](const TrainerState& s) { return session.observe(s, [] {}); });
  }
  return stop_signal != 0 ? 130 : 0;
}

}  // namespace sjd::train
