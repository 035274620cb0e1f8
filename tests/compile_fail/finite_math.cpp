// SPDX-License-Identifier: Apache-2.0
// flags: -ffinite-math-only
// expected: sjd: -ffast-math (or -ffinite-math-only) breaks exact decoding; compile without it
#include <sjd/sjd.hpp>
