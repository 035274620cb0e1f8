// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sjd::hosts {

/// Cache-line aligned pieces of a few large chunks, for which huge pages are asked. Weights and
/// buffers are all read in every pass; in ordinary pages of 4 KiB they would miss the TLB all
/// along.
///
/// memory   a chunk lives as long as a piece of it, the newest one until the next
/// threads  safe
class HugePages {
 public:
  /// errors  std::bad_alloc
  [[nodiscard]] static std::shared_ptr<std::byte> take(std::size_t bytes) {
    static std::mutex mutex;
    static std::shared_ptr<std::byte> chunk;
    static std::size_t used = chunk_size;
    if (bytes > std::numeric_limits<std::size_t>::max() - page) throw std::bad_alloc{};
    if (bytes > chunk_size / 2) return make_chunk((bytes + page - 1) / page * page);
    const std::lock_guard lock{mutex};
    if (bytes > chunk_size - used) {
      chunk = make_chunk(chunk_size);
      used = 0;
    }
    const std::size_t begin = std::exchange(used, used + (bytes + line - 1) / line * line);
    return {chunk, chunk.get() + begin};
  }

 private:
  static constexpr std::size_t line = 64;
  static constexpr std::size_t page = std::size_t{2} << 20U;
  static constexpr std::size_t chunk_size = 4 * page;

  static std::shared_ptr<std::byte> make_chunk(std::size_t bytes) {
    constexpr std::align_val_t alignment{page};
    auto* memory = static_cast<std::byte*>(::operator new(bytes, alignment));
#if defined(__linux__)
    ::madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: without it everything works, slower
#endif
    return {memory, [](std::byte* pointer) { ::operator delete(pointer, alignment); }};
  }
};

/// A zeroed array [size] of trivial values on cache-line boundaries; it moves and does not copy.
///
/// errors  std::bad_alloc, also for a size whose bytes do not fit an address
template <class T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(std::int64_t size) : memory_{HugePages::take(bytes_of(size))}, size_{size} {
    std::uninitialized_fill_n(data(), size, T{});
  }
  AlignedArray(AlignedArray&& other) noexcept
      : memory_{std::move(other.memory_)}, size_{std::exchange(other.size_, 0)} {}
  AlignedArray& operator=(AlignedArray&& other) noexcept {
    memory_ = std::move(other.memory_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  [[nodiscard]] T* data() const noexcept { return reinterpret_cast<T*>(memory_.get()); }
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }

 private:
  static std::size_t bytes_of(std::int64_t size) {
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / sizeof(T);
    if (size < 0 || static_cast<std::size_t>(size) > most) throw std::bad_alloc{};
    return static_cast<std::size_t>(size) * sizeof(T);
  }

  std::shared_ptr<std::byte> memory_;
  std::int64_t size_ = 0;
};

}  // namespace sjd::hosts
