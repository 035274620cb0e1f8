// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <vector>

#include "sjd/cuda/detail/phases.hpp"

namespace sjd::cuda {

/// Starts kernels in order: `launch<Kernel>(geometry, arguments)`. A launcher has nothing to wait
/// with and nothing to allocate with, so that what is written against it can be captured in a
/// graph.
///
/// Stream (stream.cuh) launches on a device; HostLauncher runs the same bodies on the CPU.
template <class L, class Kernel>
concept LauncherOf = requires(L& launcher, const Geometry& geometry,
                              const typename Kernel::Arguments& arguments) {
  launcher.template launch<Kernel>(geometry, arguments);
};

#if !defined(__CUDACC__)
/// Runs kernels on the CPU and counts them; pointers are host pointers.
class HostLauncher {
 public:
  explicit HostLauncher(HostOrder order = {}) : order_{order} {}

  template <class Kernel>
  void launch(const Geometry& geometry, const typename Kernel::Arguments& arguments) {
    launched.push_back(geometry);
    order_.seed += 1;
    execute_on_host<Kernel>(geometry, arguments, order_);
  }

  std::vector<Geometry> launched{};  ///< since the launcher was made

 private:
  HostOrder order_;
};
#endif

}  // namespace sjd::cuda
