// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace sjd::bench {

/// A LLaMA shape of the reference host, 256 image tokens, without noise.
struct HostShape {
  std::string name;
  std::int64_t hidden = 0;
  std::int64_t inner = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t vocab = 8192;

  static constexpr std::int64_t head_dim = 64;

  /// Weights that every row of a pass is multiplied with: the layers and the image head.
  [[nodiscard]] std::int64_t weights() const {
    return layers * (4 * hidden * heads * head_dim + 3 * hidden * inner) + vocab * hidden;
  }
};

/// Writes config.json and base.safetensors with random weights into a folder that is there.
///
/// memory  2 bytes a weight on disk
/// errors  std::runtime_error naming the file
void write_random_checkpoint(const std::filesystem::path& directory, const HostShape& shape);

}  // namespace sjd::bench
