// SPDX-License-Identifier: Apache-2.0
#include "device.hpp"

#include <ATen/Context.h>
#include <dlfcn.h>

namespace sjd::train {
namespace {

/// The library registers its operations as it is loaded. It is not linked, so that one program runs
/// with and without a GPU; this must come before anything asks LibTorch what it has.
void load_cuda() {
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    throw DeviceMissing(std::string{"--device cuda: this LibTorch has no CUDA: "} + dlerror());
  }
  if (!at::globalContext().hasCUDA()) {
    throw DeviceMissing("--device cuda: the driver lists no GPU");
  }
}

}  // namespace

TrainingDevice device_from_name(const std::string& name) {
  if (name == "cpu") return {};
  if (name == "aten-cpu") return {true, c10::Device{c10::kCPU}};
  if (name != "cuda") {
    throw std::invalid_argument("--device is cpu, aten-cpu or cuda, not " + name);
  }
  load_cuda();
  return {true, c10::Device{c10::kCUDA, 0}};
}

}  // namespace sjd::train
