// SPDX-License-Identifier: Apache-2.0
// expected: sjd: -ffast-math (or -ffinite-math-only) breaks exact decoding; compile without it
// flags: -ffast-math
#include <sjd/sjd.hpp>
