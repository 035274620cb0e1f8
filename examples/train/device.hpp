// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <stdexcept>
#include <string>

namespace sjd::train {

/// What `--device` asks for is not on this machine.
class DeviceMissing : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  static constexpr int exit_code = 69;
};

/// Where a stage computes, and by whose loops.
struct TrainingDevice {
  bool uses_aten = false;  ///< LibTorch's operations; otherwise the loops of kernels.hpp
  c10::Device device{c10::kCPU};
};

/// `cpu`: the loops of kernels.hpp. `aten-cpu`: LibTorch's operations on the CPU, to check the next
/// one. `cuda`: the same operations on the first GPU.
///
/// throws  std::invalid_argument for another name
///         DeviceMissing where LibTorch has no CUDA library, or the driver no device
[[nodiscard]] TrainingDevice device_from_name(const std::string& name);

}  // namespace sjd::train
