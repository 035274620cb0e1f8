// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <sjd/state.hpp>
#include <string_view>
#include <vector>

#include "options.hpp"
#include "png.hpp"

namespace sjd::paint {

/// JSON lines that examples/paint/trace.html plays: a header with the codebook, then one line an
/// iteration and picture.
///
/// header     {"format": "sjd-trace", "version": 1, "prompt", "decoder", "coupling", "lossless",
/// "seed", "pictures",
///            "rows", "columns", "patch", "codebook": hex rgb of every code}
/// iteration  {"picture", "iteration", "rows", "accepted", "committed": tokens added, "levels": of
/// the window,
///            "drafts": tokens of the window, -1 = pure noise}
/// errors     io; the file appears only when publish() is called
class Trace {
 public:
  Trace(const std::filesystem::path& path, const Studio& studio, const Composition& composition,
        const Options& options);

  void on_iteration(const IterationEvent& event);
  void publish();

 private:
  void write_line(std::string_view text);

  detail::TemporaryFile file_;
  std::vector<std::size_t> written_;  // [pictures], tokens that the file holds
};

}  // namespace sjd::paint
