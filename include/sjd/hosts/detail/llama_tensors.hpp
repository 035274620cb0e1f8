// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include "sjd/hosts/llama_config.hpp"
#include "sjd/hosts/safetensors.hpp"

namespace sjd::hosts::detail {

/// The tensors of one model file by name; remembers which ones were asked for.
class LlamaTensors {
 public:
  explicit LlamaTensors(const std::filesystem::path& path) : file_{path} {}

  [[nodiscard]] bool contains(const std::string& name) const { return file_.contains(name); }

  [[nodiscard]] std::vector<float> floats(const std::string& name,
                                          std::initializer_list<std::int64_t> shape) {
    seen_.insert(name);
    return file_.read_floats(name, std::vector<std::int64_t>{shape});
  }

  /// Fills noise_mean, noise_scale and log_prior of any weights.
  template <class Weights>
  void read_noise(const LlamaConfig& config, Weights& weights) {
    weights.noise_mean = floats("noise.mean", {config.hidden_size});
    weights.noise_scale = floats("noise.scale", {config.hidden_size});
    weights.log_prior = floats("noise.log_prior", {config.image_vocab_size});
    for (const float scale : weights.noise_scale) {
      if (!(scale > 0.0F)) refuse("noise.scale", "holds a value that is not positive");
    }
    for (const float value : weights.log_prior) {
      if (value > 0.0F) refuse("noise.log_prior", "holds a positive value");
    }
  }

  /// Refuses a file that holds a tensor nobody asked for.
  void check_all_seen() const {
    for (const auto& [name, info] : file_.tensors()) {
      if (!seen_.contains(name)) refuse(name, "is not a tensor of this model");
    }
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& reason) const {
    file_.refuse(name, reason);
  }

 private:
  SafetensorsFile file_;
  std::set<std::string> seen_;
};

}  // namespace sjd::hosts::detail
