// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "data_captions.hpp"
#include "tokenizer_augment.hpp"
#include "tokenizer_codebook.hpp"

namespace sjd::train {

/// How often each picture is drawn: training pictures of a family of n in proportion to 1/sqrt(n),
/// so that skin tones of one drawing do not take all codes; others never.
///
/// shapes  returns [captions], sums to 1
[[nodiscard]] std::vector<double> picture_weights(const std::vector<Caption>& captions);

/// Draws about `wanted` patches that are not all white from augmented training pictures, by
/// their weights.
///
/// shapes  returns [about wanted, 48]
[[nodiscard]] std::vector<float> sample_patches(const PictureSource& source,
                                                const std::vector<Caption>& captions,
                                                std::int64_t wanted, std::uint64_t seed);

/// Codes of every picture under augmentations 0 .. augmentations-1.
///
/// shapes  returns [pictures, augmentations, 256] I32
[[nodiscard]] torch::Tensor encode_all(const PictureSource& source, const Codebook& codebook,
                                       std::int64_t augmentations, std::uint64_t seed);

/// The codebook's own pictures, without the decoder.
///
/// shapes  codes [256]; returns [64, 64, 3] U8
[[nodiscard]] std::vector<std::uint8_t> paste_patches(const Codebook& codebook,
                                                      const std::int32_t* codes);

/// Peak signal to noise ratio in dB of a mean squared error on the scale 0 .. 1.
[[nodiscard]] double psnr(double mean_squared_error);

/// Prints entropy, share of white and PSNR of the codes of training and of held-out pictures.
void print_code_statistics(const PictureSource& source, const std::vector<Caption>& captions,
                           const Codebook& codebook, const torch::Tensor& codes);

}  // namespace sjd::train
