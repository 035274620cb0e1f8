// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

#include "device.hpp"
#include "parameters.hpp"
#include "transformer.hpp"

namespace sjd::train {

/// What `train check` computes with: two sequences of a small model.
inline constexpr std::int64_t check_sequences = 2;

/// Random words and codes; the second half of the last picture is noisy, fed with random vectors.
[[nodiscard]] Batch check_batch(const ModelShape& shape, std::uint64_t seed);

/// Norms away from one and a head that has an opinion, so that every term of the gradient counts.
/// Master weights that bf16 can hold: every path starts from the same numbers.
[[nodiscard]] Weights check_weights();

/// Two batches with dropout through AtenModel and AtenWeights, and through Transformer and
/// adam_update: losses, gradients of every tensor, and the weights after two steps must agree to
/// the rounding of bf16. Prints every comparison; returns the exit status.
[[nodiscard]] int check_aten(c10::Device device);

}  // namespace sjd::train
