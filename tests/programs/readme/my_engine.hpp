// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <sjd/sjd.hpp>
#include <string>
#include <vector>

/// The engine that the README speaks of, as far as a compiler must know it.
namespace my {

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = std::vector<std::int32_t>;

  explicit Engine(const std::string&) {}
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  sjd::MatrixView<const float> embedding_table() const { return {table, 2, 1}; }
  sjd::NoiseContract noise_contract() const { return {}; }
  void prefill(std::int32_t, const Prompt&, sjd::MatrixView<float>) {}
  void forward(const sjd::ForwardPass<>&) {}

  float table[2] = {0.0F, 1.0F};
};

}  // namespace my
