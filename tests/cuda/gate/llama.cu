// SPDX-License-Identifier: Apache-2.0
// Every kernel of the device host, for the gate that looks at what the compiler made of them.
#include "sjd/cuda/llama_layers.hpp"
#include "sjd/cuda/stream.cuh"

namespace sjd::cuda {

template void place_rows(Stream&, const PlaceArguments&);
template void embed_rows(Stream&, const EmbedArguments<float>&, int);
template void embed_rows(Stream&, const EmbedArguments<Bf16>&, int);
template void norm_rows(Stream&, const NormArguments<float>&, int);
template void norm_rows(Stream&, const NormArguments<Bf16>&, int);
template void rotate_and_store(Stream&, const RotaryArguments<float>&, int);
template void rotate_and_store(Stream&, const RotaryArguments<Bf16>&, int);
template void attend(Stream&, const AttentionArguments<float>&);
template void attend(Stream&, const AttentionArguments<Bf16>&);
template void activate(Stream&, const ActivateArguments<float>&, int);
template void activate(Stream&, const ActivateArguments<Bf16>&, int);
template void fill_random(Stream&, const FillArguments<float>&, int);
template void fill_random(Stream&, const FillArguments<Bf16>&, int);

}  // namespace sjd::cuda
