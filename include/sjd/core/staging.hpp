// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/half.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/model.hpp"

namespace sjd::detail {

/// A buffer of numbers in the model's memory with a twin on the host; one and the same for a host
/// model.
///
/// memory  grows, never shrinks; device memory comes from model.allocate and goes back to
///         model.deallocate
/// errors  out_of_memory naming the bytes that were asked for
template <class Model, LogitType T = float>
class StagedBuffer {
 public:
  using Memory = typename Model::Memory;
  static constexpr bool on_host = std::is_same_v<Memory, HostMemory>;

  explicit StagedBuffer(Model& model) : model_{&model} {}
  StagedBuffer(const StagedBuffer&) = delete;
  StagedBuffer& operator=(const StagedBuffer&) = delete;
  ~StagedBuffer() {
    if constexpr (!on_host) {
      if (device_ != nullptr) model_->deallocate(device_);
    }
  }

  /// Room for [rows, columns]; old content is lost, and every row counts as unwritten.
  ///
  /// errors  out_of_memory; the buffer then holds [0, columns]
  void reshape(std::int64_t rows, std::int64_t columns) {
    rows_ = 0;
    columns_ = columns;
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    std::int64_t numbers = 0;
    std::int64_t bytes = 0;
    if (rows < 0 || columns < 0 || __builtin_mul_overflow(rows, columns, &numbers) ||
        __builtin_mul_overflow(numbers, std::int64_t{sizeof(T)}, &bytes)) {
      refuse(rows, columns, most);
    }
    try {
      grow(static_cast<std::size_t>(numbers));
    } catch (const std::bad_alloc&) {
      refuse(rows, columns, bytes);
    } catch (const std::length_error&) {
      refuse(rows, columns, bytes);
    }
    rows_ = rows;
    mark();
  }

  [[nodiscard]] MatrixView<T> host() { return {host_.data(), rows_, columns_}; }

  /// The same matrix where the model reads and writes it.
  [[nodiscard]] MatrixView<T, Memory> on_model() {
    if constexpr (on_host) {
      return host();
    } else {
      return {device_, rows_, columns_};
    }
  }

  void upload() {
    if constexpr (!on_host) {
      if (rows_ > 0) model_->upload(device_, host_.data(), bytes());
    }
  }
  void download() {
    if constexpr (!on_host) {
      if (rows_ > 0) model_->download(host_.data(), device_, bytes());
    }
  }

  /// The first row whose first or last column was not written since reshape(); -1 if there is none,
  /// and in device memory.
  [[nodiscard]] std::int64_t unwritten() const {
    if constexpr (on_host) {
      for (std::int64_t i = 0; i < rows_ && columns_ > 0; ++i) {
        if (is_mark(host_[static_cast<std::size_t>(i * columns_)]) ||
            is_mark(host_[static_cast<std::size_t>((i + 1) * columns_ - 1)])) {
          return i;
        }
      }
    }
    return -1;
  }

 private:
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint16_t>;

  /// A quiet NaN that no arithmetic produces, of all three types.
  static constexpr auto mark_bits = static_cast<Bits>(sizeof(T) == 4 ? 0x7FEDC0DEU : 0x7FEDU);

  static T unwritten_mark() { return std::bit_cast<T>(mark_bits); }
  static bool is_mark(const T& value) { return std::bit_cast<Bits>(value) == mark_bits; }

  /// Host memory only: device memory is not written for it.
  void mark() {
    if constexpr (on_host) {
      for (std::int64_t i = 0; i < rows_ && columns_ > 0; ++i) {
        host_[static_cast<std::size_t>(i * columns_)] = unwritten_mark();
        host_[static_cast<std::size_t>((i + 1) * columns_ - 1)] = unwritten_mark();
      }
    }
  }

  void grow(std::size_t needed) {
    if (needed > host_.size()) host_.resize(needed);
    if constexpr (!on_host) {
      if (needed > device_size_) {
        void* fresh = model_->allocate(needed * sizeof(T));
        if (fresh == nullptr) throw std::bad_alloc{};
        if (device_ != nullptr) model_->deallocate(device_);
        device_ = static_cast<T*>(fresh);
        device_size_ = needed;
      }
    }
  }

  [[noreturn]] static void refuse(std::int64_t rows, std::int64_t columns, std::int64_t bytes) {
    throw Error{ErrorCode::out_of_memory, "a buffer of " + std::to_string(rows) + " rows of " +
                                              std::to_string(columns) + " numbers needs " +
                                              std::to_string(bytes) +
                                              " bytes or more, which cannot be had"};
  }

  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>(rows_ * columns_) * sizeof(T);
  }

  Model* model_;
  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
  std::vector<T> host_;          // [rows, columns]
  T* device_ = nullptr;          // [rows, columns] in the model's memory
  std::size_t device_size_ = 0;  // numbers behind device_
};

}  // namespace sjd::detail
