// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "sjd/cuda/decode_device.hpp"
#include "sjd/cuda/stream.cuh"

/// WHILE nodes came with CUDA 12.4.
#if CUDART_VERSION >= 12040
#define SJD_CUDA_WHILE 1
#else
#define SJD_CUDA_WHILE 0
#endif

namespace sjd::cuda {

/// Whether the driver runs graphs with a WHILE node.
///
/// errors  CudaError without a driver
[[nodiscard]] inline bool has_while_nodes() {
  int version = 0;
  check(cudaDriverGetVersion(&version), "the driver's version");
  return SJD_CUDA_WHILE != 0 && version >= 12040;
}

#if SJD_CUDA_WHILE
/// Tells the WHILE node of a graph whether another step is due.
template <class Words>
__global__ void ask_progress(cudaGraphConditionalHandle handle, const Words* progress) {
  cudaGraphSetConditional(handle, progress->goes_on != 0 ? 1U : 0U);
}
#endif

/// The current CUDA device for a DeviceDecoder: one stream, and one graph that holds a step. The
/// graph is captured when the shape changes; one without a WHILE node is then updated in place.
///
/// memory  owns its stream; what it allocates must be given back before it goes
/// errors  CudaError, at the latest from the next call that waits
class GraphDevice {
 public:
  using Launcher = Stream;

  /// `looks`: the graph repeats itself by a WHILE node and ends when no step is due; else it is
  /// launched as often as a run may have steps
  explicit GraphDevice(bool looks = has_while_nodes()) : stream_{made()}, looks_{looks} {}
  GraphDevice(const GraphDevice&) = delete;
  GraphDevice& operator=(const GraphDevice&) = delete;
  ~GraphDevice() {
    if (ready_ != nullptr) cudaGraphExecDestroy(ready_);
    cudaStreamDestroy(stream_);
  }

  [[nodiscard]] Stream& launcher() { return launcher_; }
  /// The stream of everything that is launched or copied here.
  [[nodiscard]] cudaStream_t stream() const { return stream_; }

  [[nodiscard]] void* allocate(std::size_t bytes) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, bytes), "an array of a decoder");
    return memory;
  }
  /// A graph is captured for the arrays of one decoder and is not launched without them.
  void deallocate(void* memory) {
    if (memory == captured_.second) captured_ = {-1, nullptr};
    cudaFree(memory);
  }
  void upload(void* to, const void* from, std::size_t bytes) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "sending an array");
    check(cudaStreamSynchronize(stream_), "sending an array");
  }
  void download(void* to, const void* from, std::size_t bytes) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "fetching an array");
    check(cudaStreamSynchronize(stream_), "running a graph");
  }

  template <class Enqueue>
  void repeat(std::int64_t shape, const Progress* progress, std::int32_t most_steps,
              const Enqueue& enqueue) {
    const std::pair<std::int64_t, const Progress*> key{shape, progress};
    if (ready_ == nullptr || key != captured_) {
      capture(progress, enqueue);
      captured_ = key;
    }
    const std::int32_t launches = looks_ ? 1 : most_steps;
    for (std::int32_t i = 0; i < launches; ++i) {
      check(cudaGraphLaunch(ready_, stream_), "launching a graph");
    }
  }

  /// Whether the graph repeats itself. Not every node may stand in a loop: a step that the driver
  /// does not take into one is replayed from then on.
  [[nodiscard]] bool looks() const { return looks_; }
  /// Graphs captured so far, and those of them that replaced another in place.
  [[nodiscard]] std::int64_t captures() const { return captures_; }
  [[nodiscard]] std::int64_t updates() const { return updates_; }

 private:
  /// A kernel may be loaded when it is first captured, and a library of products may do that by
  /// calls that stricter modes refuse.
  static constexpr cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeRelaxed;

  /// A graph until it is instantiated.
  struct Draft {
    cudaGraph_t graph = nullptr;
    Draft() = default;
    Draft(const Draft&) = delete;
    Draft& operator=(const Draft&) = delete;
    ~Draft() {
      if (graph != nullptr) cudaGraphDestroy(graph);
    }
  };

  static cudaStream_t made() {
    cudaStream_t stream = nullptr;
    check(cudaStreamCreate(&stream), "a stream");
    return stream;
  }

  template <class Enqueue>
  void capture(const Progress* progress, const Enqueue& enqueue) {
    Draft draft;
    if (looks_) {
      draw_loop(progress, enqueue, draft);
    } else {
      check(cudaStreamBeginCapture(stream_, capture_mode), "capturing a step");
      record([&] { enqueue(launcher_); }, &draft.graph);
    }
    captures_ += 1;
    // A loop asks by a handle of its own graph: it is made anew.
    if (ready_ != nullptr && !looks_ && update(draft.graph)) return;
    cudaGraphExec_t fresh = nullptr;
    const cudaError_t code = cudaGraphInstantiate(&fresh, draft.graph, 0);
    if (code != cudaSuccess && looks_) {
      static_cast<void>(cudaGetLastError());
      looks_ = false;
      return capture(progress, enqueue);
    }
    check(code, "a graph");
    if (ready_ != nullptr) cudaGraphExecDestroy(ready_);
    ready_ = fresh;
  }

  /// Ends a capture whatever `work` does.
  template <class Work>
  void record(const Work& work, cudaGraph_t* graph) {
    try {
      work();
    } catch (...) {
      cudaGraph_t spoiled = nullptr;
      cudaStreamEndCapture(stream_, &spoiled);
      if (spoiled != nullptr && graph != nullptr) cudaGraphDestroy(spoiled);
      throw;
    }
    cudaGraph_t ended = nullptr;
    check(cudaStreamEndCapture(stream_, &ended), "the end of a capture");
    if (graph != nullptr) *graph = ended;
  }

  /// Replaces the kernels of the graph that is there.
  bool update(cudaGraph_t graph) {
    cudaGraphExecUpdateResultInfo info{};
    if (cudaGraphExecUpdate(ready_, graph, &info) != cudaSuccess) {
      static_cast<void>(cudaGetLastError());
      return false;
    }
    updates_ += 1;
    return true;
  }

#if SJD_CUDA_WHILE
  /// One WHILE node around a step and the kernel that answers whether another is due.
  template <class Enqueue>
  void draw_loop(const Progress* progress, const Enqueue& enqueue, Draft& draft) {
    check(cudaGraphCreate(&draft.graph, 0), "a graph");
    cudaGraphConditionalHandle handle{};
    check(cudaGraphConditionalHandleCreate(&handle, draft.graph, 1, cudaGraphCondAssignDefault),
          "the condition of a loop");
    cudaGraphNodeParams parameters{};
    parameters.type = cudaGraphNodeTypeConditional;
    parameters.conditional.handle = handle;
    parameters.conditional.type = cudaGraphCondTypeWhile;
    parameters.conditional.size = 1;
    cudaGraphNode_t node = nullptr;
#if CUDART_VERSION >= 13000
    check(cudaGraphAddNode(&node, draft.graph, nullptr, nullptr, 0, &parameters), "a loop");
#else
    check(cudaGraphAddNode(&node, draft.graph, nullptr, 0, &parameters), "a loop");
#endif
    check(cudaStreamBeginCaptureToGraph(stream_, parameters.conditional.phGraph_out[0], nullptr,
                                        nullptr, 0, capture_mode),
          "capturing a step");
    record(
        [&] {
          enqueue(launcher_);
          cudaLaunchConfig_t one{};
          one.gridDim = one.blockDim = dim3{1};
          one.stream = stream_;
          check(cudaLaunchKernelEx(&one, &ask_progress<Progress>, handle, progress),
                "launching a kernel");
        },
        nullptr);
  }
#else
  template <class Enqueue>
  void draw_loop(const Progress*, const Enqueue&, Draft&) {
    throw CudaError{cudaErrorNotSupported, "WHILE nodes need CUDA 12.4"};
  }
#endif

  cudaStream_t stream_;
  Stream launcher_{stream_};
  bool looks_;
  cudaGraphExec_t ready_ = nullptr;
  std::pair<std::int64_t, const Progress*> captured_{-1, nullptr};
  std::int64_t captures_ = 0;
  std::int64_t updates_ = 0;
};

}  // namespace sjd::cuda
