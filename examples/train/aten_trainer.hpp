// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <deque>
#include <future>
#include <span>
#include <vector>

#include "aten_model.hpp"
#include "trainer.hpp"

namespace sjd::train {

/// Master weights and optimizer state on a device, in the order of ParameterTable.
class AtenWeights {
 public:
  AtenWeights(const Weights& weights, torch::Device device, double weight_decay);

  /// The bf16 weights that the products read, as F32 [table.count()].
  [[nodiscard]] torch::Tensor rounded() const;
  /// One step of AdamW, as adam_update does it; frozen tensors stay as they are.
  void update(const AdamStep& step, double clip, const torch::Tensor& gradient);
  /// Copies values, averages and optimizer state back.
  void store(Weights& weights) const;

 private:
  torch::Tensor master_, average_, first_, second_;  ///< [table.count()] F32
  torch::Tensor decay_;      ///< [table.count()] F32: the weight decay of each element
  torch::Tensor trainable_;  ///< [table.count()] F32: 0 where frozen, else 1
};

/// The steps of Trainer in LibTorch's operations: a whole batch at once on one device, while
/// options.workers threads draw the next ones. The batches are those of Trainer, whatever the
/// device.
class AtenTrainer {
 public:
  AtenTrainer(const TrainerOptions& options, const Dataset& data, const Weights& weights,
              const NoiseFrontEnd* noise, torch::Device device);

  /// Trains as Trainer::run does; `weights` of the constructor change only by store().
  void run(TrainerState& state, const StepObserver& observe);
  void store(Weights& weights) const { weights_.store(weights); }

 private:
  void draw_ahead(std::int64_t step);
  [[nodiscard]] std::vector<BatchPart> take_parts();
  [[nodiscard]] double make_step(const TrainerState& state);

  TrainerOptions options_;
  const Dataset& data_;
  const NoiseFrontEnd* noise_;
  ModelShape shape_;
  torch::Device device_;
  AtenModel model_;
  AtenWeights weights_;
  std::int64_t drawn_ = 0;  ///< parts asked for, counted from step 0
  std::deque<std::future<BatchPart>> ahead_;
};

/// -log p of every target of `batch` under the weights `values`, nothing dropped.
class AtenEvaluator {
 public:
  AtenEvaluator(const Weights& weights, torch::Device device);
  void use(std::span<const float> values);
  [[nodiscard]] std::vector<float> operator()(const Batch& batch) const;

 private:
  ModelShape shape_;
  torch::Device device_;
  AtenModel model_;
  torch::Tensor values_;  ///< [table.count()] F32, rounded to bf16
};

}  // namespace sjd::train
