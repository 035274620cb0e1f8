// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace sjd::train {

/// `train eval`: nats per token of a checkpoint on every split, and by noise level.
int run_eval(std::span<char* const> args);

/// `train export`: writes a model directory (docs/checkpoint.md), and on request reference logits.
int run_export(std::span<char* const> args);

}  // namespace sjd::train
