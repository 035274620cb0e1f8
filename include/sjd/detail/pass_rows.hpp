// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sjd/model.hpp"
#include "sjd/state.hpp"

namespace sjd::detail {

/// Appends the tip and the slots of one branch; noisy slots share their embedding rows from `noisy`
/// on.
template <class Schedule>
void append_rows(const DecoderState& state, std::int32_t branch, const Schedule& schedule,
                 std::int64_t noisy, std::vector<InputRow>& inout_rows) {
  Position position = state.committed() - 1;
  inout_rows.push_back({.sequence = state.sequence,
                        .branch = branch,
                        .position = position,
                        .token = state.tokens.back()});
  for (const Slot& slot : state.window) {
    InputRow row{.sequence = state.sequence, .branch = branch, .position = ++position};
    if constexpr (requires { schedule.checkpoint_level(slot.level); }) {
      row.level = schedule.checkpoint_level(slot.level);
    }
    if (slot.level > 0) {
      row.embedding = noisy++;
    } else {
      row.token = slot.token;
    }
    inout_rows.push_back(row);
  }
}

}  // namespace sjd::detail
