// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "dataset.hpp"
#include "inference.hpp"

namespace sjd::train {

/// Draws a fixed set of prompts (training, new combinations, new concepts), first with guidance 3,
/// then without, and writes them as one PNG: columns are prompts, as `sample_prompts` lists them.
void write_samples(const std::filesystem::path& path, const std::filesystem::path& data_folder,
                   const Dataset& data, const Weights& weights, const std::vector<float>& source);

/// The prompts of write_samples, in order.
[[nodiscard]] std::vector<std::string> sample_prompts(const Dataset& data);

}  // namespace sjd::train
