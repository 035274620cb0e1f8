// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report.hpp"

namespace sjd::bench {

/// Logits [rows, vocab] of one guidance branch.
///
/// kind  "bell": deviation about 2.5 after guidance; "peaked": a few tokens far above; "flat": one
///       value everywhere
[[nodiscard]] std::vector<float> random_logits(const std::string& kind, std::uint64_t seed,
                                               std::int64_t rows, std::int64_t vocab);

/// C1: rows of logits to laws and tokens, beside what users write.
void measure_rows(Report& report, double seconds);

/// C2: verification with residual, window update.
void measure_verify(Report& report, double seconds);

/// C3: packed linear layers beside their roofline and other libraries.
void measure_linear(Report& report, double seconds, int threads);

/// C4: passes of the reference host with 50 and 100 million random weights, window beside AR.
void measure_host(Report& report, double seconds, int threads);

/// Cost against V, W, batch, picture size and threads, one SVG a chart, into `directory`.
void plot_scaling(const std::string& directory, double seconds);

}  // namespace sjd::bench
