// SPDX-License-Identifier: Apache-2.0
#include "preview.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "progress.hpp"

namespace sjd::paint {
namespace {

constexpr Rgb empty_colour{24, 24, 28};
constexpr Rgb draft_tint{40, 44, 60};
constexpr std::int64_t gap = 2;

Rgb mix(Rgb a, Rgb b, double share_of_b) {
  Rgb result{};
  for (std::size_t i = 0; i < 3; ++i) {
    result[i] = static_cast<std::uint8_t>(a[i] + share_of_b * (b[i] - a[i]));
  }
  return result;
}

/// A grey that looks random but depends on its place alone.
Rgb speck(std::int64_t position, std::int64_t iteration, std::int64_t pixel) {
  auto x = static_cast<std::uint64_t>(position * 1009 + iteration * 9176 + pixel * 131);
  x = (x ^ (x >> 13)) * 0x9E3779B97F4A7C15U;
  const auto grey = static_cast<std::uint8_t>(40 + (x >> 40) % 90);
  return {grey, grey, static_cast<std::uint8_t>(grey + 16)};
}

/// The mean of a square of pixels; what sticks out of the picture is empty.
Rgb block_mean(const Raster& raster, std::int64_t x, std::int64_t y, std::int64_t side) {
  if (y >= raster.height) return empty_colour;
  std::array<std::int64_t, 3> sum{};
  for (std::int64_t i = 0; i < side * side; ++i) {
    const Rgb c = raster.at(std::min(x + i % side, raster.width - 1),
                            std::min(y + i / side, raster.height - 1));
    for (std::size_t k = 0; k < 3; ++k) sum[k] += c[k];
  }
  Rgb mean{};
  for (std::size_t k = 0; k < 3; ++k) mean[k] = static_cast<std::uint8_t>(sum[k] / (side * side));
  return mean;
}

/// Rows of half blocks: the upper pixel is the foreground of U+2580, the lower one the background.
std::string half_blocks(const Raster& raster, std::int64_t factor) {
  std::string text;
  for (std::int64_t y = 0; y < raster.height; y += 2 * factor) {
    for (std::int64_t x = 0; x < raster.width; x += factor) {
      const Rgb top = block_mean(raster, x, y, factor);
      const Rgb low = block_mean(raster, x, y + factor, factor);
      fmt::format_to(std::back_inserter(text), "\x1b[38;2;{};{};{};48;2;{};{};{}m\u2580", top[0],
                     top[1], top[2], low[0], low[1], low[2]);
    }
    text += "\x1b[0m\n";
  }
  return text;
}

}  // namespace

Preview::Preview(const Studio& studio, std::int64_t count, std::int32_t levels)
    : patches_{studio.patches()},
      columns_{studio.config().image_columns},
      width_{columns_ * patches_.front().width},
      levels_{levels},
      animated_{errors_on_terminal()} {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  const std::int64_t wide = known ? size.ws_col : 80;
  const std::int64_t high = known ? size.ws_row : 40;
  const std::int64_t height = studio.config().image_rows * patches_.front().height;
  while (factor_ < 8 && (width_ / factor_ > wide || height / factor_ / 2 + 2 > high)) factor_ *= 2;
  shown_ = std::clamp((wide * factor_ + gap) / (width_ + gap), std::int64_t{1}, count);
  canvas_ = Raster{left_edge(shown_) - gap, height, empty_colour};
  if (animated_) fmt::print(stderr, "\x1b[?25l");
}

Preview::~Preview() {
  if (animated_) fmt::print(stderr, "\x1b[0m\x1b[?25h");
}

std::int64_t Preview::left_edge(std::int64_t picture) const {
  return picture * (width_ + gap);
}

void Preview::on_iteration(const IterationEvent& event) {
  constexpr double shortest_frame = 0.03;
  const DecoderState& state = event.state;
  if (!animated_ || static_cast<std::int64_t>(state.sample) >= shown_) return;
  place(state);
  const double now = watch_.seconds();
  if (now - last_frame_ < shortest_frame && !state.finished()) return;
  last_frame_ = now;
  draw(fmt::format("pass {}: {} of {} tokens, {} accepted, {} drafts", state.iteration,
                   state.committed(), state.total, event.accepted, state.window.size()));
}

void Preview::place(const DecoderState& state) {
  const auto index = static_cast<std::int64_t>(state.sample);
  const std::int64_t side = patches_.front().width;
  for (Position p = 0; p < state.committed(); ++p) {
    const auto code = static_cast<std::size_t>(state.tokens[static_cast<std::size_t>(p)]);
    canvas_.paste(patches_[code], left_edge(index) + p % columns_ * side, p / columns_ * side);
  }
  Position p = state.committed();
  for (const Slot& slot : state.window) paint_slot(slot, p++, state.iteration, index);
}

void Preview::paint_slot(const Slot& slot, Position position, std::int64_t iteration,
                         std::int64_t index) {
  constexpr double dimming = 0.55;
  Raster patch{patches_.front().width, patches_.front().height, empty_colour};
  if (slot.has_token()) patch = patches_[static_cast<std::size_t>(slot.token)];
  const double noise =
      slot.has_token() ? static_cast<double>(slot.level) / std::max(levels_ + 1, 1) : 1.0;
  for (std::int64_t i = 0; i < patch.width * patch.height; ++i) {
    const Rgb dim = mix(patch.at(i % patch.width, i / patch.width), draft_tint, dimming);
    patch.set(i % patch.width, i / patch.width, mix(dim, speck(position, iteration, i), noise));
  }
  canvas_.paste(patch, left_edge(index) + position % columns_ * patch.width,
                position / columns_ * patch.height);
}

void Preview::draw(const std::string& status) {
  std::string frame;
  if (lines_ > 0) frame += fmt::format("\x1b[{}A\r", lines_);
  frame += half_blocks(canvas_, factor_);
  frame += status + "\x1b[K\n";
  lines_ = std::count(frame.begin(), frame.end(), '\n');
  std::fwrite(frame.data(), 1, frame.size(), stderr);
  std::fflush(stderr);
}

void Preview::finish(std::span<const Raster> pictures) {
  for (std::int64_t i = 0; i < shown_; ++i) {
    canvas_.paste(pictures[static_cast<std::size_t>(i)], left_edge(i), 0);
  }
  draw("");
}

}  // namespace sjd::paint
