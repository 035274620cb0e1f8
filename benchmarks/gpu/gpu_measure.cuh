// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "device_batch.cuh"
#include "gpu_summary.hpp"

namespace sjd::bench {

/// Pieces of work in one CUDA graph, so that launching costs what it costs in use.
class Graph {
 public:
  /// work(stream, i) for i in 0 .. pieces - 1; it must not synchronise.
  Graph(int pieces, const std::function<void(cudaStream_t, int)>& work) : pieces_{pieces} {
    cudaStream_t stream = nullptr;
    cudaGraph_t graph = nullptr;
    cuda::check(cudaStreamCreate(&stream), "a stream");
    cuda::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "capturing");
    for (int i = 0; i < pieces; ++i) work(stream, i);
    cuda::check(cudaStreamEndCapture(stream, &graph), "the end of a capture");
    cuda::check(cudaGraphInstantiate(&ready_, graph, 0), "a graph");
    cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
  }
  Graph(Graph&& other) noexcept
      : pieces_{other.pieces_}, ready_{std::exchange(other.ready_, nullptr)} {}
  Graph& operator=(Graph&&) = delete;
  ~Graph() {
    if (ready_ != nullptr) cudaGraphExecDestroy(ready_);
  }

  void launch(cudaStream_t stream) const {
    cuda::check(cudaGraphLaunch(ready_, stream), "a graph");
  }
  [[nodiscard]] int pieces() const { return pieces_; }

 private:
  int pieces_;
  cudaGraphExec_t ready_ = nullptr;
};

/// Times graphs in turns, so that all meet the same clocks; before each the second-level cache is
/// written over.
class DeviceClock {
 public:
  DeviceClock() {
    cuda::check(cudaStreamCreate(&stream_), "a stream");
    cuda::check(cudaEventCreate(&begin_), "an event");
    cuda::check(cudaEventCreate(&end_), "an event");
  }
  DeviceClock(const DeviceClock&) = delete;
  DeviceClock& operator=(const DeviceClock&) = delete;
  ~DeviceClock() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    cudaStreamDestroy(stream_);
  }

  /// Microseconds a piece, [graph][round]; two rounds more come first and are not counted.
  /// `before(i)` runs ahead of graph i, outside its time; what it starts must be done on return.
  [[nodiscard]] std::vector<std::vector<double>> rounds(
      const std::vector<Graph>& graphs, int count = 15,
      const std::function<void(std::size_t)>& before = {}) {
    std::vector<std::vector<double>> times(graphs.size());
    for (int round = -2; round < count; ++round) {
      for (std::size_t i = 0; i < graphs.size(); ++i) {
        if (before) before(i);
        const double time = once(graphs[i]);
        if (round >= 0) times[i].push_back(time);
      }
    }
    return times;
  }

 private:
  double once(const Graph& graph) {
    cuda::check(cudaMemsetAsync(flushed_.data, 0, flushed_.size, stream_), "the cache");
    cuda::check(cudaEventRecord(begin_, stream_), "an event");
    graph.launch(stream_);
    cuda::check(cudaEventRecord(end_, stream_), "an event");
    cuda::check(cudaEventSynchronize(end_), "running a graph");
    float milliseconds = 0.0F;
    cuda::check(cudaEventElapsedTime(&milliseconds, begin_, end_), "a time");
    return 1.0e3 * double{milliseconds} / graph.pieces();
  }

  DeviceArray<char> flushed_{std::size_t{1} << 28};  // larger than any second-level cache
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

/// Bytes a microsecond of a large copy, both directions counted.
inline double copy_speed(DeviceClock& watch) {
  const std::size_t bytes = std::size_t{1} << 28;
  const DeviceArray<char> from{bytes};
  const DeviceArray<char> to{bytes};
  std::vector<Graph> graphs;
  graphs.emplace_back(4, [&](cudaStream_t stream, int) {
    cuda::check(cudaMemcpyAsync(to.data, from.data, bytes, cudaMemcpyDeviceToDevice, stream),
                "a copy");
  });
  return 2.0 * static_cast<double>(bytes) / quantile(watch.rounds(graphs)[0], 0.5);
}

}  // namespace sjd::bench
