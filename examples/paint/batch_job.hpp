// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "options.hpp"
#include "studio.hpp"

namespace sjd::paint {

/// "000012-red-apple.png": what the picture of a line is called; no two lines share a name.
[[nodiscard]] std::string picture_name(std::int64_t line, std::string_view prompt);

/// Everything that decides the bytes of the pictures: lines "name value".
///
/// errors  io and bad_file for files of the model that cannot be read
[[nodiscard]] std::string manifest_of(const Options& options, const Composition& composition,
                                      const Studio& studio, std::uint64_t prompts_digest);

/// Paints the prompts of a file into a directory, one PNG a line.
///
/// Line n is painted with the seed of the options and sample n - 1, so that no picture depends on
/// where an earlier run was stopped; those that are there already are left alone.
///
/// errors  io and bad_file naming file and line; UsageError as check_against_model
void paint_batch(const Options& options, Studio& studio);

}  // namespace sjd::paint
