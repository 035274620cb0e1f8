// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace sjd::test {

/// Room for floats between two pages that end the program when touched.
class GuardedRow {
 public:
  explicit GuardedRow(std::size_t floats)
      : bytes_{(floats * sizeof(float) + page - 1) / page * page},
        room_{mmap(nullptr, bytes_ + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)} {
    if (room_ == MAP_FAILED) throw std::bad_alloc{};
    if (mprotect(first_byte(), bytes_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc{};
  }
  GuardedRow(const GuardedRow&) = delete;
  GuardedRow& operator=(const GuardedRow&) = delete;
  ~GuardedRow() { munmap(room_, bytes_ + 2 * page); }

  [[nodiscard]] float* begin() const { return reinterpret_cast<float*>(first_byte()); }
  [[nodiscard]] float* end() const { return begin() + bytes_ / sizeof(float); }

 private:
  static constexpr std::size_t page = 65'536;  // of any page size in use

  [[nodiscard]] char* first_byte() const { return static_cast<char*>(room_) + page; }

  std::size_t bytes_;
  void* room_;
};

}  // namespace sjd::test
