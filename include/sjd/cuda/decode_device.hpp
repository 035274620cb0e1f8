// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include "sjd/core/error.hpp"
#include "sjd/cuda/launch.hpp"
#include "sjd/cuda/progress.hpp"

namespace sjd::cuda {

namespace detail {
/// Stands for whatever a DecodeDevice is asked to repeat.
struct AnyWork {
  template <class Launcher>
  void operator()(Launcher&) const {}
};
}  // namespace detail

/// Where a DeviceDecoder keeps its arrays, and how a step is repeated.
///
/// - `Launcher`, `launcher()`: starts kernels, in order with all that follows
/// - `allocate(bytes)`, `deallocate(pointer)`: memory of the launcher; allocate throws, it never
///   returns null
/// - `upload(to, from, bytes)`, `download(to, from, bytes)`: in order with the launches, done on
///   return
/// - `repeat(shape, progress, most_steps, enqueue)`: runs enqueue(launcher) again and again, in
///   order, until the words that it left in *progress say that no other step is due or most_steps
///   are done; it may run more of these than were due. `shape` is a number that changes whenever
///   enqueue would launch anything else. It need not wait
template <class D>
concept DecodeDevice = requires(D& device, void* there, const void* here, std::size_t bytes,
                                const Progress* progress) {
  typename D::Launcher;
  { device.launcher() } -> std::same_as<typename D::Launcher&>;
  { device.allocate(bytes) } -> std::same_as<void*>;
  device.deallocate(there);
  device.upload(there, here, bytes);
  device.download(there, here, bytes);
  device.repeat(std::int64_t{}, progress, std::int32_t{}, detail::AnyWork{});
};

/// An array in the memory of a device, its values undefined at first.
template <class T, DecodeDevice Device>
class DeviceArray {
 public:
  DeviceArray(Device& device, std::int64_t count)
      : device_{&device},
        size_{count},
        data_{count == 0 ? nullptr : static_cast<T*>(device.allocate(bytes(count)))} {}
  DeviceArray(Device& device, std::span<const T> values)
      : DeviceArray(device, static_cast<std::int64_t>(values.size())) {
    write(0, values);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() {
    if (data_ != nullptr) device_->deallocate(data_);
  }

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::int64_t size() const { return size_; }

  void write(std::int64_t at, std::span<const T> values) {
    if (!values.empty()) device_->upload(data_ + at, values.data(), values.size_bytes());
  }
  void read(std::int64_t at, std::span<T> values) const {
    if (!values.empty()) device_->download(values.data(), data_ + at, values.size_bytes());
  }

 private:
  static std::size_t bytes(std::int64_t count) {
    return static_cast<std::size_t>(count) * sizeof(T);
  }

  Device* device_;
  std::int64_t size_;
  T* data_;
};

#if !defined(__CUDACC__)
/// The CPU as a device, for the host executor: what it hands out holds poison first, and a step is
/// captured with its arguments and replayed, as a CUDA graph is.
class HostDevice {
 public:
  using Launcher = HostLauncher;

  /// `looks`: looks at the progress behind every step, as a WHILE node does; else a run has all of
  /// its steps, as a replayed graph has
  explicit HostDevice(HostOrder order = {}, bool looks = true)
      : launcher_{order}, poison_{order.poison}, looks_{looks} {}
  HostDevice(const HostDevice&) = delete;
  HostDevice& operator=(const HostDevice&) = delete;

  [[nodiscard]] Launcher& launcher() { return launcher_; }
  [[nodiscard]] void* allocate(std::size_t bytes) {
    void* memory = std::malloc(bytes);
    if (memory == nullptr) throw std::bad_alloc{};
    return std::memset(memory, poison_, bytes);
  }
  /// A step is captured for the arrays of one decoder and goes with them.
  void deallocate(void* memory) {
    if (memory == captured_.second) graph_.clear();
    std::free(memory);
  }
  void upload(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
  void download(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }

  template <class Enqueue>
  void repeat(std::int64_t shape, const Progress* progress, std::int32_t most_steps,
              const Enqueue& enqueue) {
    const std::pair<std::int64_t, const Progress*> key{shape, progress};
    if (graph_.empty() || key != captured_) graph_ = launcher_.capture(enqueue);
    captured_ = key;
    for (std::int32_t i = 0; i < most_steps; ++i) {
      for (const auto& launch : graph_) launch();
      if (looks_ && progress->goes_on == 0) return;
    }
  }

 private:
  Launcher launcher_;
  unsigned char poison_;
  bool looks_;
  HostLauncher::Graph graph_;  // of `captured_`
  std::pair<std::int64_t, const Progress*> captured_{-1, nullptr};
};
#endif

}  // namespace sjd::cuda
