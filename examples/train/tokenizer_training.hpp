// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data_captions.hpp"
#include "device.hpp"
#include "tokenizer_augment.hpp"
#include "tokenizer_decoder.hpp"

namespace sjd::train {

struct DecoderSettings {
  std::int64_t steps = 6000;
  std::int64_t batch = 16;
  double learning_rate = 2e-3;  // at its highest; rises for 100 steps, then falls as a cosine
  bool bfloat16 = false;        // convolutions in bf16, weights and loss in fp32
  std::uint64_t seed = 1;
  std::filesystem::path output;
  TrainingDevice device;  // `cpu` and `aten-cpu` are the same here
};

/// Trains the decoder on newly augmented training pictures and their codes. Goes on from
/// output/tokenizer.ckpt when there is one, and leaves decoder.safetensors, a checkpoint and
/// decoder_loss.png there every few hundred steps. A step depends on the seed and its number
/// only, so an interrupted run sees the pictures that an uninterrupted one sees. It computes on
/// settings.device and leaves the decoder on the CPU.
void train_decoder(PictureDecoder& decoder, const PictureSource& source,
                   const std::vector<Caption>& captions, const Codebook& codebook,
                   const DecoderSettings& settings);

/// Decodes and clamps, in fp32.
///
/// shapes  codes [n, 256] I32; returns [n, 64, 64, 3] U8
[[nodiscard]] torch::Tensor paint_codes(PictureDecoder& decoder, const torch::Tensor& codes);

}  // namespace sjd::train
