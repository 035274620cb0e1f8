// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace sjd::paint {

/// One line of a prompt file that says what to paint.
struct PromptLine {
  std::int64_t number = 0;  ///< of the line, from 1; blank lines count
  std::string prompt;       ///< without the end of the line
};

/// A file of prompts, one a line.
struct PromptFile {
  std::filesystem::path path;
  std::uint64_t digest = 0;       ///< FNV-1a of its bytes
  std::vector<PromptLine> lines;  ///< those that are not blank, in their order
};

/// Reads a prompt file of at most 64 MiB.
///
/// edge    lines end with LF or CR LF, the last one may lack its end
/// errors  io if the system refuses; bad_file naming the file if it is not a regular one, is too
///         large or holds no prompt
[[nodiscard]] PromptFile read_prompts(const std::filesystem::path& path);

}  // namespace sjd::paint
