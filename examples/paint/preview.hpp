// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <sjd/core/stopwatch.hpp>
#include <sjd/state.hpp>
#include <span>
#include <string>
#include <vector>

#include "raster.hpp"
#include "studio.hpp"

namespace sjd::paint {

/// The pictures as they grow, in true-colour half blocks on standard error.
///
/// Committed tokens show their codebook patch, drafts the same patch dimmed, noisy slots specks
/// that clear up as their level falls, empty positions nothing. Where standard error is not a
/// terminal only the finished pictures are drawn.
class Preview {
 public:
  /// `count` pictures, of which as many are shown as fit side by side; `levels` of the schedule.
  Preview(const Studio& studio, std::int64_t count, std::int32_t levels);
  Preview(const Preview&) = delete;
  Preview& operator=(const Preview&) = delete;
  ~Preview();

  void on_iteration(const IterationEvent& event);

  /// Replaces the patches by what the picture decoder made of them.
  void finish(std::span<const Raster> pictures);

 private:
  void place(const DecoderState& state);
  void paint_slot(const Slot& slot, Position position, std::int64_t iteration, std::int64_t index);
  void draw(const std::string& status);
  [[nodiscard]] std::int64_t left_edge(std::int64_t picture) const;

  std::vector<Raster> patches_;  // [codes]
  std::int64_t columns_;         // tokens in a row of the picture
  std::int64_t width_;           // pixels of one picture
  std::int32_t levels_;
  bool animated_;
  std::int64_t shown_ = 1;   // pictures side by side
  std::int64_t factor_ = 1;  // model pixels per half block
  std::int64_t lines_ = 0;   // lines that the last frame took
  Raster canvas_;
  Stopwatch watch_;
  double last_frame_ = -1.0;
};

}  // namespace sjd::paint
