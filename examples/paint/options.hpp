// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "compositions.hpp"
#include "studio.hpp"

namespace sjd::paint {

/// The command line of paint.
struct Options {
  std::string prompt;
  std::filesystem::path output;   ///< empty: the prompt's own name; with prompts: a directory
  std::filesystem::path prompts;  ///< a file of prompts, one a line; empty: the words given
  std::int64_t count = 1;
  std::uint64_t seed = 0;
  std::string decoder{default_decoder};
  std::string coupling;  ///< empty: the decoder's default
  Plan plan;
  bool fixed_window = false;    ///< --window N; else the window goes by cost
  std::filesystem::path costs;  ///< empty: costs.json of the model directory, if it is there
  double guidance = 2.0;
  double temperature = 0.7;
  std::int64_t top_k = 0;
  double top_p = 1.0;
  bool compare = false;
  bool json = false;
  bool preview = false;
  bool verbose = false;
  bool list_words = false;
  bool help = false;
  std::int64_t upscale = 4;
  std::int64_t batch = 8;
  std::filesystem::path trace;
  StudioOptions studio;
};

/// Guidance branches of every picture.
[[nodiscard]] inline std::int64_t branches_of(const Options& options) {
  return options.guidance == 1.0 ? 1 : 2;
}

/// Reads the command line; ranges that do not depend on the model are checked here.
///
/// errors  UsageError with one line that says the allowed range
[[nodiscard]] Options parse_options(std::span<const std::string> arguments);

/// Checks what depends on the model: window, levels, weights.
///
/// returns the composition that the options name
/// errors  UsageError
const Composition& check_against_model(const Options& options, const Studio& studio);

/// The options with the window plan that the cost file gives for these pictures; as they are if a
/// window was asked for, or if the model directory has no cost file.
///
/// errors  bad_file and io of a cost file that cannot be used
[[nodiscard]] Options with_window_plan(Options options, const Composition& composition,
                                       const Studio& studio);

/// What --help prints.
[[nodiscard]] std::string help_text();

/// The request of picture `sample` under these options.
[[nodiscard]] Request request_of(const Options& options, const WordIds& words, std::int64_t tokens,
                                 std::uint64_t sample);

}  // namespace sjd::paint
