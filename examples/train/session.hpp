// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data_options.hpp"
#include "dataset.hpp"
#include "device.hpp"
#include "progress.hpp"
#include "trainer.hpp"

namespace sjd::train {

/// Options that base and denoise share, with the values the shipped weights were trained with.
[[nodiscard]] std::map<std::string, std::string> session_defaults();

/// A number that may have a fraction.
[[nodiscard]] double number(const StageOptions& options, const std::string& name);

/// Options of `base` or `denoise` as the trainer wants them.
[[nodiscard]] TrainerOptions trainer_options(const StageOptions& options);

/// -log p of every target of a batch [sequences, image_tokens], nothing dropped.
using LossFunction = std::function<std::vector<float>(const Batch&)>;

/// Mean -log p over the chosen plain pictures with their names, `sequences` at a time.
[[nodiscard]] double mean_loss(const LossFunction& losses_of, std::int64_t sequences,
                               const Dataset& data, std::span<const std::int64_t> chosen);

/// Trains until the budget is used up or a signal asks to stop, with reports, checkpoints and
/// sample pictures, on the device of `--device`. Returns the exit status: 0, or 130 after SIGINT or
/// SIGTERM with a checkpoint written.
int run_session(const StageOptions& options, const TrainerOptions& trainer, const Dataset& data,
                Weights& weights, const NoiseFrontEnd* noise);

/// The noise contract of `weights`: their image table, rounded, and the training codes' shares.
[[nodiscard]] NoiseFrontEnd front_end(const Weights& weights, const Dataset& data, Feed feed);

/// `train base`, `train denoise`
int run_base(std::span<char* const> args);
int run_denoise(std::span<char* const> args);

}  // namespace sjd::train
