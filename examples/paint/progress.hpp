// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <sjd/core/stopwatch.hpp>
#include <string>

namespace sjd::paint {

/// One line on standard error that says how far a long job is and when it will end.
///
/// Silent for the first two seconds, and always where standard error is not a terminal.
class Progress {
 public:
  Progress(std::string label, std::int64_t total);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  /// `amount` more of `total` is done.
  void advance(std::int64_t amount);

 private:
  std::string label_;
  std::int64_t total_;
  std::int64_t done_ = 0;
  bool terminal_;
  bool shown_ = false;
  double last_shown_ = 0.0;
  Stopwatch watch_;
};

/// Whether standard error is a terminal.
[[nodiscard]] bool errors_on_terminal();

}  // namespace sjd::paint
