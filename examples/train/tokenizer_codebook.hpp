// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sjd::train {

inline constexpr std::int64_t code_count = 512;
inline constexpr std::int64_t patch_values = 48;  // 4 rows x 4 columns x rgb
inline constexpr std::int64_t patches_per_picture = 256;

/// 512 patches of 4 x 4 pixels; code 0 is white, the others go from frequent to rare.
class Codebook {
 public:
  /// shapes  rows [512, 48] in [0, 1]
  explicit Codebook(std::vector<float> rows);

  /// shapes  [512, 48]
  [[nodiscard]] const std::vector<float>& rows() const { return rows_; }

  /// The row of least squared error, the lowest on a tie; `error`, if given, gets that error.
  [[nodiscard]] std::int32_t nearest(const float* patch, float* error = nullptr) const;

  /// Codes one picture patch by patch.
  ///
  /// shapes  rgb [64, 64, 3]; codes [256], overwritten
  void encode(std::span<const std::uint8_t> rgb, std::span<std::int32_t> codes) const;

 private:
  std::vector<float> rows_;     // [512, 48]
  std::vector<float> columns_;  // [48, 512], so that codes lie side by side
};

/// Copies patch `index` of a picture as 48 values in [0, 1].
///
/// shapes  rgb [64, 64, 3]; patch [48], overwritten
void cut_patch(std::span<const std::uint8_t> rgb, std::int64_t index, float* patch);

/// Whether every value of a patch is exactly white.
[[nodiscard]] bool is_white(const float* patch);

/// k-means (k-means++, then Lloyd's iterations) of patches without white ones; the white code is
/// added in front. Empty clusters restart at the patch that is coded worst.
///
/// shapes  patches [n, 48], n >= 511
[[nodiscard]] Codebook learn_codebook(const std::vector<float>& patches, std::int64_t iterations,
                                      std::uint64_t seed);

}  // namespace sjd::train
