// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "sjd/core/config.hpp"

namespace sjd {

/// Memory that the CPU may touch.
struct HostMemory {};

/// Memory that only device code may touch; a host pointer is refused where this is asked for.
struct DeviceMemory {};

/// A borrowed row-major matrix [rows, columns]; row i starts at data + i * stride.
/// The memory space is part of the type, so a host view does not convert to a device view.
template <class T, class Memory = HostMemory>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t stride = 0;

  constexpr MatrixView() = default;
  SJD_HOST_DEVICE constexpr MatrixView(T* pointer, std::int64_t row_count,
                                       std::int64_t column_count)
      : MatrixView(pointer, row_count, column_count, column_count) {}
  SJD_HOST_DEVICE constexpr MatrixView(T* pointer, std::int64_t row_count,
                                       std::int64_t column_count, std::int64_t row_stride)
      : data{pointer}, rows{row_count}, columns{column_count}, stride{row_stride} {}

  /// A mutable view reads as a const one.
  template <class U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>) SJD_HOST_DEVICE
      constexpr MatrixView(const MatrixView<U, Memory>& other)
      : MatrixView(other.data, other.rows, other.columns, other.stride) {}

  /// Row `index` as a span [columns]; host memory only.
  [[nodiscard]] constexpr std::span<T> row(
      std::int64_t index) const requires std::is_same_v<Memory, HostMemory> {
    return {data + index * stride, static_cast<std::size_t>(columns)};
  }
};

}  // namespace sjd
