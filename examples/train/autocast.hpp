// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/autocast_mode.h>
#include <c10/core/Device.h>
#include <torch/version.h>

namespace sjd::train {

/// bf16 convolutions on one kind of device while it lives; without the cache of cast weights, which
/// change every step. LibTorch 2.4 gave these functions a device.
class Autocast {
 public:
  Autocast(c10::Device device, bool enabled) : type_{device.type()}, before_{is_enabled()} {
    at::autocast::set_autocast_cache_enabled(false);
    set_type();
    set_enabled(enabled);
  }
  ~Autocast() { set_enabled(before_); }

  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
  [[nodiscard]] bool is_enabled() const {
    return at::autocast::is_autocast_enabled(type_);
  }
  void set_type() const {
    at::autocast::set_autocast_dtype(type_, at::kBFloat16);
  }
  void set_enabled(bool enabled) const {
    at::autocast::set_autocast_enabled(type_, enabled);
  }
#else
  [[nodiscard]] bool is_enabled() const {
    return type_ == c10::kCPU ? at::autocast::is_cpu_enabled() : at::autocast::is_enabled();
  }
  void set_type() const {
    if (type_ == c10::kCPU) return at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
    at::autocast::set_autocast_gpu_dtype(at::kBFloat16);
  }
  void set_enabled(bool enabled) const {
    if (type_ == c10::kCPU) return at::autocast::set_cpu_enabled(enabled);
    at::autocast::set_enabled(enabled);
  }
#endif

  c10::DeviceType type_;
  bool before_;
};

}  // namespace sjd::train
