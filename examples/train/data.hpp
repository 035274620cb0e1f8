// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace sjd::train {

/// `train data`: renders the emoji font, reads the captions, splits them by concept family and
/// writes pictures.safetensors, captions.json, tokenizer.json and prompts.json.
/// `args` are the words after the name of the stage. Returns the exit status.
int run_data(std::span<char* const> args);

}  // namespace sjd::train
