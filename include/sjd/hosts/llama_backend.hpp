// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <vector>

#include "sjd/cuda/detail/llama_numbers.hpp"
#include "sjd/cuda/launch.hpp"

namespace sjd::hosts {

using cuda::StoredNumber;

/// y = x weight^T, or y += x weight^T, summed in fp32.
///
/// shapes  x [rows, inputs]; weight [outputs, inputs]; y [rows, outputs] at `stride`
template <StoredNumber Number, class Out>
struct MatrixProduct {
  const Number* x = nullptr;
  const Number* weight = nullptr;
  Out* y = nullptr;
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::int64_t stride = 0;
  bool accumulate = false;
};

/// The machine that a LlamaCuda runs on: memory, a launcher of kernels, and matrix products.
///
/// - `typename Launcher`, `launcher()`: where the host's own work goes, in order
/// - `product(launcher, MatrixProduct)`: starts a product there; Out is float or Number; never
///   waits, never allocates
/// - `allocate(bytes)`, `deallocate(pointer)`: memory of the kernels, aligned to 256 bytes; throws
///   std::bad_alloc
/// - `clear(pointer, bytes)`: zeros; `upload(to, from, bytes)`, `download(to, from, bytes)`: in
///   order with the launcher; a download waits
/// - `multiprocessors()`: how many blocks run side by side
template <class B, class Number>
concept LlamaBackend = StoredNumber<Number> &&
    requires(B& backend, typename B::Launcher& launcher, void* to, const void* from,
             std::size_t bytes, const MatrixProduct<Number, float>& wide,
             const MatrixProduct<Number, Number>& same) {
  { backend.launcher() } -> std::same_as<typename B::Launcher&>;
  backend.product(launcher, wide);
  backend.product(launcher, same);
  { backend.allocate(bytes) } -> std::convertible_to<void*>;
  backend.deallocate(to);
  backend.clear(to, bytes);
  backend.upload(to, from, bytes);
  backend.download(to, from, bytes);
  { backend.multiprocessors() } -> std::convertible_to<std::int64_t>;
};

/// Arrays of a backend that go back with their owner.
template <class Backend>
class DeviceArrays {
 public:
  explicit DeviceArrays(Backend& backend) : backend_{&backend} {}
  DeviceArrays(const DeviceArrays&) = delete;
  DeviceArrays& operator=(const DeviceArrays&) = delete;
  ~DeviceArrays() {
    for (void* array : arrays_) backend_->deallocate(array);
  }

  /// An array of whatever was in memory.
  template <class T>
  [[nodiscard]] T* make(std::int64_t size) {
    arrays_.reserve(arrays_.size() + 1);
    void* array = backend_->allocate(static_cast<std::size_t>(size) * sizeof(T));
    arrays_.push_back(array);
    return static_cast<T*>(array);
  }
  template <class T>
  [[nodiscard]] T* zeros(std::int64_t size) {
    T* array = make<T>(size);
    backend_->clear(array, static_cast<std::size_t>(size) * sizeof(T));
    return array;
  }
  template <class T>
  [[nodiscard]] T* copy(const std::vector<T>& values) {
    T* array = make<T>(static_cast<std::int64_t>(values.size()));
    backend_->upload(array, values.data(), values.size() * sizeof(T));
    return array;
  }

 private:
  Backend* backend_;
  std::vector<void*> arrays_;
};

#if !defined(__CUDACC__)
/// A machine made of the host executor and plain loops: for proofs without a device, slow.
///
/// Fresh memory holds NaN, so that nothing goes by unwritten memory unseen.
class HostBackend {
 public:
  using Launcher = cuda::HostLauncher;

  explicit HostBackend(cuda::HostOrder order = {}, std::int64_t multiprocessors = 1)
      : launcher_{order}, multiprocessors_{multiprocessors} {}

  [[nodiscard]] Launcher& launcher() { return launcher_; }
  [[nodiscard]] std::int64_t multiprocessors() const { return multiprocessors_; }

  [[nodiscard]] static void* allocate(std::size_t bytes) {
    constexpr std::size_t line = 256;
    void* memory = std::aligned_alloc(line, (bytes + line) / line * line);
    if (memory == nullptr) throw std::bad_alloc{};
    std::memset(memory, 0xFF, bytes);
    return memory;
  }
  static void deallocate(void* memory) { std::free(memory); }
  static void clear(void* to, std::size_t bytes) { std::memset(to, 0, bytes); }
  static void upload(void* to, const void* from, std::size_t bytes) {
    std::memcpy(to, from, bytes);
  }
  static void download(void* to, const void* from, std::size_t bytes) {
    std::memcpy(to, from, bytes);
  }

  template <StoredNumber Number, class Out>
  static void product(Launcher& launcher, const MatrixProduct<Number, Out>& p) {
    launcher.call([p] { multiply(p); });
  }

 private:
  template <StoredNumber Number, class Out>
  static void multiply(const MatrixProduct<Number, Out>& p) {
    std::vector<float> weight(static_cast<std::size_t>(p.inputs));
    for (std::int64_t output = 0; output < p.outputs; ++output) {
      for (std::int64_t k = 0; k < p.inputs; ++k) {
        weight[static_cast<std::size_t>(k)] = cuda::to_float(p.weight[output * p.inputs + k]);
      }
      for (std::int64_t row = 0; row < p.rows; ++row) {
        Out& y = p.y[row * p.stride + output];
        const float sum = dot(p.x + row * p.inputs, weight);
        y = cuda::detail::rounded<Out>(p.accumulate ? cuda::to_float(y) + sum : sum);
      }
    }
  }

  /// Eight chains: fewer roundings in a row, and room for the compiler.
  template <class Number>
  [[nodiscard]] static float dot(const Number* x, std::span<const float> weight) {
    float sums[8]{};
    for (std::size_t k = 0; k < weight.size(); ++k) {
      sums[k % 8] += cuda::to_float(x[k]) * weight[k];
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
           ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  }

  Launcher launcher_;
  std::int64_t multiprocessors_;
};
#endif

}  // namespace sjd::hosts
