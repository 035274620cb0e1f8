// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sjd/hosts/thread_pool.hpp"

namespace sjd::hosts {

/// Where one row of a pass stands.
struct LlamaRow {
  std::int64_t slot = 0;      ///< which KV cache
  std::int64_t position = 0;  ///< counted from the first word of the prompt
};

/// Query rows of one slot that one attention task takes, for one key-value head.
struct AttentionTask {
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::int64_t head = 0;
};

/// Consecutive rows that go through the layers together.
struct LlamaPart {
  std::int64_t index = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::size_t first_task = 0;
  std::size_t tasks = 0;
};

/// The thread that takes a part alone, with the face of a ThreadPool.
struct PoolOfOne {
  int thread = 0;

  [[nodiscard]] static int threads() { return 1; }

  template <class Body>
  void run(std::int64_t tasks, Body&& body) const {
    for (std::int64_t task = 0; task < tasks; ++task) body(task, thread);
  }
};

/// How threads share the rows of a run.
///
/// Few rows make one part, whose products all threads share panel by panel: weights are read once,
/// and rows go to and fro between the cores many times a layer. Many rows make a part for each
/// thread: every thread reads all weights, and waits only for rows in front of its own in the same
/// slot. Guidance branches and sequences so never wait for each other.
class LlamaPlan {
 public:
  /// Rows a thread from which on parts are faster than panels.
  static constexpr std::int64_t least_rows = 6;

  LlamaPlan(std::size_t most_tasks, int threads) : attended_(static_cast<std::size_t>(threads)) {
    tasks_.reserve(most_tasks);
    parts_.reserve(attended_.size());
  }

  /// Plans a run; `together` >= 1 rows share an attention task.
  void cut(std::span<const LlamaRow> rows, std::int64_t heads, std::int64_t together,
           std::int64_t threads) {
    rows_ = rows;
    const auto count = static_cast<std::int64_t>(rows.size());
    const std::int64_t parts = count >= threads * least_rows ? threads : 1;
    tasks_.clear();
    parts_.clear();
    for (std::int64_t index = 0; index < parts; ++index) {
      const std::int64_t first = count * index / parts;
      const std::int64_t end = count * (index + 1) / parts;
      const std::size_t task = tasks_.size();
      cut_attention(first, end, heads, together);
      parts_.push_back({index, first, end - first, task, tasks_.size() - task});
      attended_[static_cast<std::size_t>(index)].store(-1, std::memory_order_relaxed);
    }
  }

  [[nodiscard]] std::span<const LlamaPart> parts() const { return parts_; }
  [[nodiscard]] std::span<const AttentionTask> tasks(const LlamaPart& part) const {
    return std::span{tasks_}.subspan(part.first_task, part.tasks);
  }

  /// Waits until the rows in front of a part in its first slot have done with the keys of a layer:
  /// they are stored then, and nobody reads the panel that the part's own keys go to.
  ///
  /// A ThreadPool hands out tasks in ascending order, so the parts waited for are on their way.
  void wait_for_rows_in_front(const LlamaPart& part, std::int64_t layer) const {
    for (std::int64_t before = part.index - 1; before >= 0; --before) {
      const LlamaPart& other = parts_[static_cast<std::size_t>(before)];
      if (slot(other.first + other.count - 1) != slot(part.first)) return;
      const auto& attended = attended_[static_cast<std::size_t>(before)];
      for (int turn = 0; attended.load(std::memory_order_acquire) < layer; ++turn) {
        ThreadPool::pause(turn);
      }
    }
  }

  /// Says that a part has done with the keys of a layer.
  void attended(const LlamaPart& part, std::int64_t layer) {
    attended_[static_cast<std::size_t>(part.index)].store(layer, std::memory_order_release);
  }

 private:
  [[nodiscard]] std::int64_t slot(std::int64_t row) const {
    return rows_[static_cast<std::size_t>(row)].slot;
  }

  void cut_attention(std::int64_t first, std::int64_t end, std::int64_t heads,
                     std::int64_t together) {
    while (first < end) {
      std::int64_t count = 1;
      while (count < together && first + count < end && slot(first + count) == slot(first)) {
        ++count;
      }
      for (std::int64_t head = 0; head < heads; ++head) tasks_.push_back({first, count, head});
      first += count;
    }
  }

  std::span<const LlamaRow> rows_;
  std::vector<AttentionTask> tasks_;
  std::vector<LlamaPart> parts_;
  std::vector<std::atomic<std::int64_t>> attended_;  // last layer whose keys a part has done with
};

}  // namespace sjd::hosts
