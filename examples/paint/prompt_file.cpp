// SPDX-License-Identifier: Apache-2.0
#include "prompt_file.hpp"

#include <sjd/core/error.hpp>
#include <sjd/detail/state_bytes.hpp>
#include <sjd/hosts/detail/input_file.hpp>
#include <span>
#include <string_view>

namespace sjd::paint {

PromptFile read_prompts(const std::filesystem::path& path) {
  constexpr std::int64_t most_bytes = std::int64_t{64} << 20;
  const std::string text = hosts::detail::read_text(path, most_bytes);
  PromptFile file{path, sjd::detail::fnv64(std::as_bytes(std::span{text})), {}};
  std::string_view rest = text;
  for (std::int64_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    file.lines.push_back({number, std::string{line}});
  }
  if (file.lines.empty()) {
    throw Error{ErrorCode::bad_file, path.string() + ": holds no prompt"};
  }
  return file;
}

}  // namespace sjd::paint
