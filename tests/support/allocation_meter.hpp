// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace sjd::test {

/// What the global operator new of a program has done; the program links
/// support/allocation_meter.cpp.
struct AllocationMeter {
  /// One request beyond this is refused at once, as a system without that much memory would.
  static constexpr std::size_t largest = std::size_t{8} << 30;

  bool counting = false;
  std::int64_t calls = 0;     ///< allocations since reset()
  std::int64_t fail_at = -1;  ///< this allocation throws std::bad_alloc, once
  std::int64_t live = 0;      ///< bytes
  std::int64_t peak = 0;      ///< bytes, the most that were live since reset()

  void reset(std::int64_t fail = -1) {
    calls = 0;
    fail_at = fail;
    live = 0;
    peak = 0;
  }
};

/// One thread at a time may count.
extern thread_local constinit AllocationMeter meter;

/// Sets whether allocations are counted for as long as it lives.
class Counting {
 public:
  explicit Counting(bool on) : before_{meter.counting} { meter.counting = on; }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;
  ~Counting() { meter.counting = before_; }

 private:
  bool before_;
};

}  // namespace sjd::test
