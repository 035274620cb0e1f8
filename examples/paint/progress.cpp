// SPDX-License-Identifier: Apache-2.0
#include "progress.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <utility>

namespace sjd::paint {

bool errors_on_terminal() {
  return ::isatty(STDERR_FILENO) == 1;
}

Progress::Progress(std::string label, std::int64_t total)
    : label_{std::move(label)}, total_{total}, terminal_{errors_on_terminal()} {}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
}

void Progress::advance(std::int64_t amount) {
  constexpr double patience = 2.0;
  constexpr double pause = 0.1;
  done_ += amount;
  const double now = watch_.seconds();
  if (!terminal_ || done_ <= 0 || now < patience || now - last_shown_ < pause) return;
  const double share = static_cast<double>(done_) / static_cast<double>(total_);
  const double left = std::ceil(now / share - now);
  fmt::print(stderr, "\r{}: {:.0f} %, {:.0f} s left\x1b[K", label_, 100.0 * share, left);
  std::fflush(stderr);
  shown_ = true;
  last_shown_ = now;
}

}  // namespace sjd::paint
