// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench_options.hpp"

namespace sjd::bench {

/// Measures what a pass of the default composition costs for 1, 2, 4 and 8 pictures with one and
/// two branches, and how far drafts survive, and writes options.write_costs (paint/costs.hpp).
///
/// Seconds are those of a whole pass, model and library, in the middle of a picture: the median
/// over repetitions in which all windows take turns. Survival comes from decoding training prompts
/// with the widest window at options.temperature.
/// errors  io; whatever decoding throws
void write_costs(const BenchOptions& options);

}  // namespace sjd::bench
