// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "corrector_fit.hpp"
#include "sjd/hosts/llama_config.hpp"

namespace sjd::train {

/// The command line of `train corrector`.
struct CorrectorSettings {
  std::filesystem::path model;
  std::string weights;
  std::filesystem::path output;
  std::filesystem::path init;
  std::filesystem::path loop;
  std::filesystem::path traces;
  std::int64_t rounds = 4;
  double seconds = 0.0;
  double trace_share = 0.5;
  double invented = 0.5;
  std::int64_t window = 48;
  std::int64_t width = 256;
  std::int64_t batch = 256;
  float rate = 2e-3F;
  float final_rate = 1e-4F;
  std::uint64_t seed = 1;
  std::int64_t workers = 1;
  std::int64_t steps = 0;  ///< of each fit; 0 = as many as fit into the time
  CorrectorRegularization regularization;
  std::string neighbours;
};

/// errors  invalid_argument for an unknown option or a value that is not one
[[nodiscard]] CorrectorSettings read_corrector_settings(std::span<char* const> args);

/// Offsets to the left that the head looks at; `near`: in the row (1, 2) and in the row above (two
/// to the right .. one to the left).
///
/// errors  invalid_argument unless they are positive and ascending
[[nodiscard]] std::vector<std::int32_t> head_neighbours(const std::string& list,
                                                        const hosts::LlamaConfig& config);

}  // namespace sjd::train
