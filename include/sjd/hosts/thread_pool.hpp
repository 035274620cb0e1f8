// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/cpu/lanes.hpp"

namespace sjd::hosts {

/// A few threads that share the tasks of one loop at a time.
///
/// Tasks are claimed one by one, so a worker that the system holds back costs its share and never a
/// wait for it to wake. Workers look for the next loop for some microseconds and then sleep. Which
/// thread runs which task is left open: tasks must write to places of their own.
class ThreadPool {
 public:
  /// `threads` includes the caller; 1 starts none.
  ///
  /// errors  invalid_argument for a number outside 1 .. 1024; io, naming the number, if the system
  ///         refuses a thread: none is left running then
  explicit ThreadPool(int threads) {
    expects(threads >= 1 && threads <= 1'024, ErrorCode::invalid_argument,
            "ThreadPool: threads must lie in [1, 1024]");
    workers_.reserve(static_cast<std::size_t>(threads - 1));
    try {
      for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
    } catch (const std::system_error& error) {
      stop();
      throw Error{ErrorCode::io, "ThreadPool: of " + std::to_string(threads) +
                                     " threads the system gave " +
                                     std::to_string(workers_.size() + 1) + ": " + error.what()};
    } catch (...) {  // no memory for a thread
      stop();
      throw;
    }
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() { stop(); }

  [[nodiscard]] int threads() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(task, thread) for every task in [0, tasks) and returns when all are done; `thread`
  /// is below threads(). The body must not throw and must not call run(). One caller at a time.
  template <class Body>
  void run(std::int64_t tasks, Body&& body) {
    if (workers_.empty() || tasks <= 1) {
      for (std::int64_t task = 0; task < tasks; ++task) body(task, 0);
      return;
    }
    using Plain = std::remove_reference_t<Body>;
    body_ = &body;
    call_ = [](void* object, std::int64_t task, int thread) {
      (*static_cast<Plain*>(object))(task, thread);
    };
    tasks_ = tasks;
    finished_.store(0, std::memory_order_relaxed);
    const std::uint64_t generation = (ticket_.load(std::memory_order_relaxed) >> 32U) + 1;
    ticket_.store(generation << 32U, std::memory_order_release);
    wake();
    claim(generation, 0);
    for (int turn = 0; finished_.load(std::memory_order_acquire) != tasks; ++turn) pause(turn);
    ticket_.store((generation << 32U) | closed, std::memory_order_relaxed);
  }

  /// One turn of waiting for another thread: at first on the processor, later by giving it away.
  static void pause(int turn) {
    if (turn >= patience) {
      std::this_thread::yield();
      return;
    }
#if SJD_X86
    _mm_pause();
#endif
  }

 private:
  static constexpr std::uint64_t closed = 0xFFFFFFFFU;
  static constexpr int patience = 300;

  /// Ends the threads that were started.
  void stop() {
    stop_.store(true);
    epoch_.fetch_add(1);
    epoch_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void wake() {
    epoch_.fetch_add(1);
    if (sleepers_.load() > 0) epoch_.notify_all();
  }

  /// Runs tasks of loop `generation` until none is left. A ticket holds the generation and the next
  /// task, so a thread that comes late cannot take a task of another loop.
  void claim(std::uint64_t generation, int thread) {
    std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    while (true) {
      const std::uint64_t task = ticket & closed;
      if (ticket >> 32U != generation || task == closed) return;
      if (static_cast<std::int64_t>(task) >= tasks_.load(std::memory_order_acquire)) return;
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
      call_.load(std::memory_order_relaxed)(body_.load(std::memory_order_relaxed),
                                            static_cast<std::int64_t>(task), thread);
      finished_.fetch_add(1, std::memory_order_release);
      ticket = ticket_.load(std::memory_order_acquire);
    }
  }

  void work(int thread) {
    std::uint32_t seen = 0;
    while (true) {
      std::uint32_t now = epoch_.load();
      for (int turn = 0; now == seen && turn < patience; ++turn) {
        pause(turn);
        now = epoch_.load();
      }
      if (now == seen) {
        sleepers_.fetch_add(1);
        epoch_.wait(seen);
        sleepers_.fetch_sub(1);
        now = epoch_.load();
      }
      if (stop_.load()) return;
      seen = now;
      claim(ticket_.load(std::memory_order_acquire) >> 32U, thread);
    }
  }

  using Call = void (*)(void*, std::int64_t, int);

  std::atomic<std::uint64_t> ticket_{closed};  // generation << 32 | next task
  std::atomic<std::int64_t> tasks_{0};
  std::atomic<std::int64_t> finished_{0};
  std::atomic<void*> body_{nullptr};
  std::atomic<Call> call_{nullptr};
  std::atomic<std::uint32_t> epoch_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace sjd::hosts
