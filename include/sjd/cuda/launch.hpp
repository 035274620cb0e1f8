// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
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
/// Runs kernels on the CPU and counts them; pointers are host pointers. Graphs that it captured
/// belong to it, and it must not move.
class HostLauncher {
 public:
  explicit HostLauncher(HostOrder order = {}) : order_{order} {}

  /// Launches with their arguments, as a CUDA graph holds them.
  using Graph = std::vector<std::function<void()>>;

  template <class Kernel>
  void launch(const Geometry& geometry, const typename Kernel::Arguments& arguments) {
    call([this, geometry, arguments] {
      launched.push_back(geometry);
      order_.seed += 1;
      execute_on_host<Kernel>(geometry, arguments, order_);
    });
  }

  /// `work()` in its turn among the launches; a graph holds it as it holds them.
  template <class Work>
  void call(const Work& work) {
    if (capturing_ != nullptr) {
      capturing_->push_back(work);
    } else {
      work();
    }
  }

  /// What `work(launcher)` enqueues, which does not run now.
  template <class Work>
  [[nodiscard]] Graph capture(const Work& work) {
    Graph graph;
    const struct End {
      Graph*& capturing;
      ~End() { capturing = nullptr; }
    } end{capturing_};
    capturing_ = &graph;
    work(*this);
    return graph;
  }

  std::vector<Geometry> launched{};  ///< since the launcher was made

 private:
  HostOrder order_;
  Graph* capturing_ = nullptr;
};
#endif

}  // namespace sjd::cuda
