// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sjd::hosts {

namespace detail {

inline constexpr std::size_t huge_page = std::size_t{2} << 20U;

/// Whole huge pages where the system gives them, else as many common ones.
inline std::shared_ptr<void> allocate_huge(std::size_t bytes) {
  constexpr std::align_val_t page{huge_page};
  const std::size_t whole = (bytes + huge_page - 1) / huge_page * huge_page;
  std::shared_ptr<void> memory{::operator new(whole, page),
                               [](void* pointer) { ::operator delete(pointer, page); }};
#if defined(__linux__)
  ::madvise(memory.get(), whole, MADV_HUGEPAGE);  // a wish: without it everything works, slower
#endif
  return memory;
}

/// A part of a huge page that the arrays of one thread are cut from, one behind the other; it goes
/// back when the last of them has gone. Matrices of a checkpoint so come to lie side by side.
inline std::shared_ptr<void> cut_from_huge(std::size_t bytes) {
  struct Block {
    std::shared_ptr<void> memory;
    std::size_t used = huge_page;
  };
  thread_local Block block;
  if (bytes > huge_page - block.used) block = {allocate_huge(huge_page), 0};
  void* start = static_cast<std::byte*>(block.memory.get()) + block.used;
  block.used += (bytes + 63) / 64 * 64;
  return {block.memory, start};
}

/// Where arrays lie that a pass reads from end to end, or all over: on pages of their own size the
/// processor waits longer for addresses than for numbers.
inline std::shared_ptr<void> allocate_lines(std::size_t bytes) {
  if (bytes >= huge_page / 2) return allocate_huge(bytes);
#if !defined(__SANITIZE_ADDRESS__)  // which looks behind the end of an array of its own only
  constexpr std::size_t small = std::size_t{16} << 10U;
  if (bytes >= small) return cut_from_huge(bytes);
#endif
  constexpr std::align_val_t line{64};
  return {::operator new(bytes, line), [](void* pointer) { ::operator delete(pointer, line); }};
}

}  // namespace detail

/// A zeroed array [size] of trivial values on cache-line boundaries; from 16 KiB on it lies on huge
/// pages where the system gives them.
///
/// memory  rounded up to 2 MiB from 1 MiB on; smaller arrays from 16 KiB on share blocks of 2 MiB,
///         which stay until the last array in them has gone
/// errors  std::bad_alloc, also for a size whose bytes do not fit an address
template <class T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(std::int64_t size)
      : memory_{detail::allocate_lines(bytes_of(size))}, size_{size} {
    std::uninitialized_fill_n(data(), size, T{});
  }
  AlignedArray(const AlignedArray&) = delete;
  AlignedArray& operator=(const AlignedArray&) = delete;
  AlignedArray(AlignedArray&& other) noexcept
      : memory_{std::move(other.memory_)}, size_{std::exchange(other.size_, 0)} {}
  AlignedArray& operator=(AlignedArray&& other) noexcept {
    memory_ = std::move(other.memory_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~AlignedArray() = default;

  [[nodiscard]] T* data() const noexcept { return static_cast<T*>(memory_.get()); }
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }

 private:
  static std::size_t bytes_of(std::int64_t size) {
    constexpr std::size_t most =
        (std::numeric_limits<std::size_t>::max() - detail::huge_page) / sizeof(T);
    if (size < 0 || static_cast<std::size_t>(size) > most) throw std::bad_alloc{};
    return static_cast<std::size_t>(size) * sizeof(T);
  }

  std::shared_ptr<void> memory_;
  std::int64_t size_ = 0;
};

}  // namespace sjd::hosts
