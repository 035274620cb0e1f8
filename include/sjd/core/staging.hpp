// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "sjd/core/matrix_view.hpp"
#include "sjd/model.hpp"

namespace sjd::detail {

/// A float buffer in the model's memory with a twin on the host; one and the same for a host model.
///
/// memory  grows, never shrinks; device memory comes from model.allocate and goes back to
///         model.deallocate
template <class Model>
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

  /// Room for [rows, columns]; old content is lost.
  void reshape(std::int64_t rows, std::int64_t columns) {
    rows_ = rows;
    columns_ = columns;
    const auto needed = static_cast<std::size_t>(rows * columns);
    if (needed > host_.size()) host_.resize(needed);
    if constexpr (!on_host) {
      if (needed > device_size_) {
        void* fresh = model_->allocate(needed * sizeof(float));
        if (device_ != nullptr) model_->deallocate(device_);
        device_ = static_cast<float*>(fresh);
        device_size_ = needed;
      }
    }
  }

  [[nodiscard]] MatrixView<float> host() { return {host_.data(), rows_, columns_}; }

  /// The same matrix where the model reads and writes it.
  [[nodiscard]] MatrixView<float, Memory> on_model() {
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

 private:
  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>(rows_ * columns_) * sizeof(float);
  }

  Model* model_;
  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
  std::vector<float> host_;      // [rows, columns]
  float* device_ = nullptr;      // [rows, columns] in the model's memory
  std::size_t device_size_ = 0;  // floats behind device_
};

}  // namespace sjd::detail
