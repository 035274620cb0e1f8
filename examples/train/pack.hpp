// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace sjd::train {

/// `train pack`: a checkpoint as files below 15 MiB that can travel one by one: weights-0 and
/// weights-1 in fp32, the latter with the counters; average, first and second (moments) in bf16.
int run_pack(std::span<char* const> args);

/// `train unpack`: a checkpoint from the files of `train pack`. Moments that were left behind begin
/// at zero, a missing average at the weights; of a model whose training is over, the average is
/// enough.
///
/// throws  std::runtime_error where neither weights nor average are there
int run_unpack(std::span<char* const> args);

}  // namespace sjd::train
