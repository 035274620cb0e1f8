// SPDX-License-Identifier: Apache-2.0
// Every kernel of the library, for the gate that looks at what the compiler made of them.
#include "sjd/cuda/statistics.hpp"
#include "sjd/cuda/step.hpp"
#include "sjd/cuda/stream.cuh"

namespace sjd::cuda {

template void decode_step(Stream&, const StepArguments<float>&);
template void decode_step(Stream&, const StepArguments<Bf16>&);
template void decode_step(Stream&, const StepArguments<Fp16>&);
template void statistics(Stream&, const StatisticsArguments&, int);

}  // namespace sjd::cuda
