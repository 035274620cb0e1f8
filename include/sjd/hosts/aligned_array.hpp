// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sjd::hosts {

/// A zeroed array [size] of trivial values on cache-line boundaries. Half a huge page or more lies
/// on huge pages where the system gives them: rows read from all over a table wait longer for their
/// addresses than for the numbers.
///
/// memory  rounded up to 2 MiB from 1 MiB on
/// errors  std::bad_alloc, also for a size whose bytes do not fit an address
template <class T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(std::int64_t size) : data_{allocate(bytes_of(size))}, size_{size} {
    std::uninitialized_fill_n(data(), size, T{});
  }

  [[nodiscard]] T* data() const noexcept { return data_.get(); }
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }

 private:
  static constexpr std::size_t huge = std::size_t{2} << 20U;

  struct Free {
    std::align_val_t alignment{64};
    void operator()(T* pointer) const { ::operator delete(pointer, alignment); }
  };

  static std::size_t bytes_of(std::int64_t size) {
    constexpr std::size_t most = (std::numeric_limits<std::size_t>::max() - huge) / sizeof(T);
    if (size < 0 || static_cast<std::size_t>(size) > most) throw std::bad_alloc{};
    return static_cast<std::size_t>(size) * sizeof(T);
  }

  static std::unique_ptr<T, Free> allocate(std::size_t bytes) {
    if (bytes < huge / 2) {
      constexpr std::align_val_t line{64};
      return {static_cast<T*>(::operator new(bytes, line)), Free{line}};
    }
    constexpr std::align_val_t page{huge};
    const std::size_t whole = (bytes + huge - 1) / huge * huge;
    void* memory = ::operator new(whole, page);
#if defined(__linux__)
    ::madvise(memory, whole, MADV_HUGEPAGE);  // a wish: without it everything works, slower
#endif
    return {static_cast<T*>(memory), Free{page}};
  }

  std::unique_ptr<T, Free> data_;
  std::int64_t size_ = 0;
};

}  // namespace sjd::hosts
