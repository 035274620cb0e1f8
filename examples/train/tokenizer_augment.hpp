// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "data_captions.hpp"
#include "data_random.hpp"

namespace sjd::train {

inline constexpr std::int64_t picture_size = 64;
inline constexpr std::int64_t picture_bytes = picture_size * picture_size * 3;

/// A change of a drawing that leaves its caption true.
struct Augmentation {
  double shift_x = 0;  // pixels of the 64 x 64 picture
  double shift_y = 0;
  double scale = 1;
  double angle = 0;       // radians
  double hue = 0;         // radians around the grey axis
  double saturation = 1;  // factor
  double gamma = 1;       // brightness that keeps black and white
  bool flip = false;
};

/// Whether a mirrored drawing still shows what its words say; in doubt not.
[[nodiscard]] bool may_mirror(const Caption& caption);

/// The drawings of `train data`, rendered as 64 x 64 RGB pictures on white.
class PictureSource {
 public:
  /// shapes  pixels [captions, 128, 128, 4] U8 RGBA, straight alpha
  PictureSource(torch::Tensor pixels, const std::vector<Caption>& captions);

  [[nodiscard]] std::int64_t size() const { return pixels_.size(0); }

  /// A random augmentation of one picture; shifts keep the drawing inside the frame.
  [[nodiscard]] Augmentation random_augmentation(std::int64_t picture, SplitMix& random) const;

  /// Augmentation `number` of a picture in codes.safetensors; number 0 is the plain picture.
  [[nodiscard]] Augmentation numbered_augmentation(std::int64_t picture, std::int64_t number,
                                                   std::uint64_t seed) const;

  /// Draws a picture; `rgb` [64, 64, 3] is overwritten. Safe to call from several threads.
  void render(std::int64_t picture, const Augmentation& augmentation,
              std::span<std::uint8_t> rgb) const;

 private:
  torch::Tensor pixels_;             // [pictures, 128, 128, 4] U8
  std::vector<double> half_width_;   // [pictures], of the drawing around the centre, 64-pixels
  std::vector<double> half_height_;  // [pictures]
  std::vector<bool> may_mirror_;     // [pictures]
};

}  // namespace sjd::train
