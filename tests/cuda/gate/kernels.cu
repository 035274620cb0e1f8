// SPDX-License-Identifier: Apache-2.0
// Every kernel of the library, for the gate that looks at what the compiler made of them.
#include "sjd/cuda/progress.hpp"
#include "sjd/cuda/statistics.hpp"
#include "sjd/cuda/step.hpp"
#include "sjd/cuda/stream.cuh"

namespace sjd::cuda {

template void decode_step(Stream&, const StepArguments<float>&);
template void decode_step(Stream&, const StepArguments<Bf16>&);
template void decode_step(Stream&, const StepArguments<Fp16>&);
// Of the redraw kernel one type: it reads logits as the rows kernel does.
template void decode_step(Stream&, const StepArguments<Bf16, HeadChange>&);
template void join(Stream&, const WindowArguments&, std::int64_t, int);
template void count_progress(Stream&, const ProgressArguments&);
template void statistics(Stream&, const StatisticsArguments&, int);

}  // namespace sjd::cuda
