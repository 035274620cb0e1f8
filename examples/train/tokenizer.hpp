// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace sjd::train {

/// `train tokenizer`: learns the codebook, writes the codes of all augmented pictures
/// (codes.safetensors), then trains the picture decoder on the fixed codes (decoder.safetensors).
/// `args` are the words after the name of the stage. Returns the exit status.
int run_tokenizer(std::span<char* const> args);

}  // namespace sjd::train
