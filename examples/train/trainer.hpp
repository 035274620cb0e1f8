// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "dataset.hpp"
#include "noise.hpp"
#include "parameters.hpp"
#include "transformer.hpp"

namespace sjd::train {

/// One training run. The schedule follows whichever of the two budgets is used up first; a resumed
/// run may have others than it began with.
struct TrainerOptions {
  std::filesystem::path checkpoint;
  double minutes = 60.0;
  std::int64_t steps = 0;  ///< 0: no limit but the minutes
  std::int64_t batch = 32;
  std::int64_t micro_batch = 16;  ///< sequences that a worker runs at once
  std::int64_t workers = 1;
  double rate = 1.5e-3;
  double final_rate = 1e-4;
  std::int64_t warmup = 200;
  double weight_decay = 0.1;
  double dropout = 0.1;
  double average_decay = 0.998;
  double clip = 1.0;
  std::uint64_t seed = 1;
  DrawOptions draw;
  std::optional<training::SegmentOptions> segments;  ///< none: clean sequences only
  Feed feed = Feed::posterior_mean;                  ///< of the noisy slots, if there are segments
};

/// What the progress line shows.
struct TrainerState {
  std::int64_t step = 0;
  double seconds = 0.0;  ///< trained so far, earlier runs included
  double loss = 0.0;     ///< mean of the sequences since the last report
  double rate = 0.0;
  double step_seconds = 0.0;
  double fraction = 0.0;  ///< of the budget
};

/// Called between steps; returns false to end the run.
using StepObserver = std::function<bool(const TrainerState&)>;

/// Share of the budget that is used up; 1 or more ends a run.
[[nodiscard]] double used_budget(const TrainerOptions& options, const TrainerState& state);
/// Warm-up, then a cosine over the budget.
[[nodiscard]] double learning_rate(const TrainerOptions& options, const TrainerState& state);
/// Everything of the step after `state` but the factor that clips the gradient.
[[nodiscard]] AdamStep next_adam_step(const TrainerOptions& options, const TrainerState& state);
/// Counts a step of `seconds` with this loss; its rate is that of the state before it.
void count_step(const TrainerOptions& options, double seconds, double loss, TrainerState& state);

/// One part of a batch: micro_batch sequences whose weights sum to 1 / parts.
struct BatchPart {
  Batch batch;
  std::uint32_t seed = 0;  ///< of its dropout
};

/// What part `part` of step `step` consists of, whoever draws it. Safe to call from several
/// threads.
[[nodiscard]] BatchPart draw_part(const TrainerOptions& options, const Dataset& data,
                                  const NoiseFrontEnd* noise, std::int64_t step, std::int64_t part);

/// Steps of data-parallel workers: threads of one arithmetic thread each, gradients summed in
/// shared memory, every worker updating its own slice of the parameters.
class Trainer {
 public:
  Trainer(const TrainerOptions& options, const Dataset& data, Weights& weights,
          const NoiseFrontEnd* noise);
  ~Trainer();

  /// The first worker calls `observe`. A run whose budget is used up already makes no step.
  void run(TrainerState& state, const StepObserver& observe);

 private:
  struct Shared;  // barrier and what crosses it

  void work(std::int64_t worker, TrainerState& state, const StepObserver& observe);
  void gradient_of_share(std::int64_t worker, std::int64_t step);
  void reduce_slice(std::int64_t worker);
  void update_slice(std::int64_t worker, const TrainerState& state);
  void finish_step(double seconds, TrainerState& state, const StepObserver& observe);
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> slice(std::int64_t worker) const;

  TrainerOptions options_;
  const Dataset& data_;
  Weights& weights_;
  const NoiseFrontEnd* noise_;
  std::vector<std::unique_ptr<Transformer>> models_;
  std::vector<std::vector<float>> gradients_;  ///< [workers][table.count()]
  std::vector<double> losses_, squares_;       ///< [workers]
  std::unique_ptr<Shared> shared_;
};

/// Writes weights, averages, optimizer state, counters and the feed of noisy slots; keeps the file
/// that was there as `.previous`.
void save_checkpoint(const std::filesystem::path& path, const Weights& weights,
                     const TrainerState& state, std::optional<Feed> feed);
/// Reads what save_checkpoint wrote.
void load_checkpoint(const std::filesystem::path& path, Weights& weights, TrainerState& state);

}  // namespace sjd::train
