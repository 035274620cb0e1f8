// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace sjd::train {

/// `train corrector`: trains the corrector head of a model directory on traces of its own decoding
/// and writes corrector.safetensors into it.
int run_corrector(std::span<char* const> args);

}  // namespace sjd::train
