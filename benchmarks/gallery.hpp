// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench_options.hpp"

namespace sjd::bench {

/// Paints 64 prompts, half of them held out, with AR and with the default composition from the same
/// seeds, and writes sheets and a README.md with their captions into options.gallery. Nothing is
/// selected: the prompts are the ones that the seed draws.
void make_gallery(paint::Studio& studio, const BenchOptions& options);

}  // namespace sjd::bench
