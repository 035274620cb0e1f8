// SPDX-License-Identifier: Apache-2.0
#include "support/allocation_meter.hpp"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace sjd::test {

thread_local constinit AllocationMeter meter;

namespace {

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (meter.counting && meter.calls++ == meter.fail_at) throw std::bad_alloc{};
  if (bytes > AllocationMeter::largest) throw std::bad_alloc{};
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment;
  void* pointer = alignment <= alignof(std::max_align_t)
                      ? std::malloc(std::max<std::size_t>(bytes, 1))
                      : std::aligned_alloc(alignment, rounded * alignment);
  if (pointer == nullptr) throw std::bad_alloc{};
  if (meter.counting) {
    meter.live += static_cast<std::int64_t>(::malloc_usable_size(pointer));
    meter.peak = std::max(meter.peak, meter.live);
  }
  return pointer;
}

void release(void* pointer) noexcept {
  if (meter.counting && pointer != nullptr) {
    meter.live -= static_cast<std::int64_t>(::malloc_usable_size(pointer));
  }
  std::free(pointer);
}

void* allocate_or_null(std::size_t bytes, std::size_t alignment) noexcept {
  try {
    return allocate(bytes, alignment);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace
}  // namespace sjd::test

void* operator new(std::size_t bytes) {
  return sjd::test::allocate(bytes, 1);
}
void* operator new[](std::size_t bytes) {
  return sjd::test::allocate(bytes, 1);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return sjd::test::allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return sjd::test::allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return sjd::test::allocate_or_null(bytes, 1);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return sjd::test::allocate_or_null(bytes, 1);
}
void operator delete(void* pointer) noexcept {
  sjd::test::release(pointer);
}
void operator delete[](void* pointer) noexcept {
  sjd::test::release(pointer);
}
void operator delete(void* pointer, std::size_t) noexcept {
  sjd::test::release(pointer);
}
void operator delete[](void* pointer, std::size_t) noexcept {
  sjd::test::release(pointer);
}
void operator delete(void* pointer, std::align_val_t) noexcept {
  sjd::test::release(pointer);
}
void operator delete[](void* pointer, std::align_val_t) noexcept {
  sjd::test::release(pointer);
}
void operator delete(void* pointer, std::size_t, std::align_val_t) noexcept {
  sjd::test::release(pointer);
}
void operator delete[](void* pointer, std::size_t, std::align_val_t) noexcept {
  sjd::test::release(pointer);
}
void operator delete(void* pointer, const std::nothrow_t&) noexcept {
  sjd::test::release(pointer);
}
void operator delete[](void* pointer, const std::nothrow_t&) noexcept {
  sjd::test::release(pointer);
}
