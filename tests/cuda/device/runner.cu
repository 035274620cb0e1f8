// SPDX-License-Identifier: Apache-2.0
// The one file of the device tests that nvcc compiles.
#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/device/runner.hpp"
#include "sjd/cuda/graph.cuh"
#include "sjd/cuda/stream.cuh"

namespace sjd::test {
namespace {

/// Copies of host vectors on the device, for one run.
class DeviceArena {
 public:
  DeviceArena() = default;
  DeviceArena(const DeviceArena&) = delete;
  DeviceArena& operator=(const DeviceArena&) = delete;
  ~DeviceArena() {
    for (void* block : blocks_) cudaFree(block);
  }

  /// A copy of a vector; `back`: fetch() writes it back.
  template <class T>
  T* take(std::vector<T>& host, bool back = true) {
    T* device = const_cast<T*>(take_in(host));
    if (back) {
      fetches_.push_back([&host, device] {
        cuda::check(cudaMemcpy(host.data(), device, host.size() * sizeof(T), cudaMemcpyDefault),
                    "fetching an array");
      });
    }
    return device;
  }
  template <class T>
  const T* take_in(const std::vector<T>& host) {
    void* device = nullptr;
    const std::size_t bytes = host.size() * sizeof(T);
    cuda::check(cudaMalloc(&device, bytes + 16), "an array of a test");
    blocks_.push_back(device);
    cuda::check(cudaMemcpy(device, host.data(), bytes, cudaMemcpyDefault), "sending an array");
    return static_cast<const T*>(device);
  }
  /// Waits for the device and writes every array back.
  void fetch() {
    cuda::check(cudaDeviceSynchronize(), "running kernels");
    for (const auto& fetch : fetches_) fetch();
  }

 private:
  std::vector<void*> blocks_;
  std::vector<std::function<void()>> fetches_;
};

template <class Logit>
void run_typed(RowsBatch& batch, const cuda::RowsPlan& plan, const std::vector<Logit>& logits) {
  DeviceArena arena;
  auto arguments = rows_arguments<Logit>(batch, arena.take_in(logits));
  const auto laws = batch.tasks.size() * static_cast<std::size_t>(batch.capacity);
  batch.heads.assign(batch.tasks.size(), {});
  batch.ids.assign(laws, -1);
  batch.masses.assign(laws, 0);
  std::vector<cuda::SequenceSettings> settings = batch.settings;
  for (std::size_t s = 0; s < settings.size(); ++s) {
    settings[s].scales = arena.take_in(batch.scales[s]);
  }
  arguments.tasks = arena.take_in(batch.tasks);
  arguments.settings = arena.take_in(settings);
  arguments.grammar = batch.grammar.table();
  arguments.grammar.forced = arena.take_in(batch.grammar.forced);
  arguments.grammar.allowed = arena.take_in(batch.grammar.allowed);
  arguments.laws = {arena.take(batch.heads), arena.take(batch.ids), arena.take(batch.masses),
                    static_cast<std::int64_t>(batch.tasks.size()), batch.capacity};
  std::vector<std::uint32_t> keys(batch.tasks.size() * static_cast<std::size_t>(batch.vocab));
  std::vector<cuda::RowPart> parts(batch.tasks.size() * static_cast<std::size_t>(plan.slices));
  if (plan.split) arguments.workspace = {arena.take(keys, false), arena.take(parts, false)};
  cuda::Stream stream;
  cuda::rows(stream, plan, arguments);
  arena.fetch();
}

template <class Logit>
std::vector<Logit> as_type(const std::vector<std::uint16_t>& bits) {
  std::vector<Logit> logits;
  for (const std::uint16_t b : bits) logits.push_back({b});
  return logits;
}

/// Captures a step, counts its nodes and replays it once.
void replay(const cuda::StepArguments<float>& step) {
  cudaStream_t raw = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  cuda::check(cudaStreamCreate(&raw), "a stream");
  cuda::check(cudaStreamBeginCapture(raw, cudaStreamCaptureModeGlobal), "capturing");
  cuda::Stream stream{raw};
  cuda::decode_step(stream, step);
  cuda::check(cudaStreamEndCapture(raw, &graph), "the end of a capture");
  std::size_t nodes = 0;
  cuda::check(cudaGraphGetNodes(graph, nullptr, &nodes), "the nodes of a graph");
  if (nodes != 3) throw std::runtime_error{"a step is " + std::to_string(nodes) + " nodes, not 3"};
  cuda::check(cudaGraphInstantiate(&ready, graph, 0), "a graph");
  cuda::check(cudaGraphLaunch(ready, raw), "launching a graph");
  cuda::check(cudaStreamSynchronize(raw), "running a graph");
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(raw);
}

}  // namespace

std::string device_name(std::string& why) {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess || count == 0) {
    why = code != cudaSuccess ? cudaGetErrorString(code) : "the driver lists none";
    return "";
  }
  cudaDeviceProp properties{};
  cuda::check(cudaGetDeviceProperties(&properties, 0), "the device's name");
  return properties.name;
}

cuda::DeviceLimits device_plan_limits() {
  return cuda::device_limits();
}

void rows_on_device(RowsBatch& batch, const cuda::RowsPlan& plan) {
  if (batch.type == LogitType::fp32) run_typed(batch, plan, batch.logits);
  if (batch.type == LogitType::bf16) {
    run_typed(batch, plan, as_type<cuda::Bf16>(batch.short_logits));
  }
  if (batch.type == LogitType::fp16) {
    run_typed(batch, plan, as_type<cuda::Fp16>(batch.short_logits));
  }
}

void step_on_device(const cuda::StepArguments<float>& step, const cuda::BatchShape& shape,
                    DecodeArrays& all, const EmbeddingTables& tables, bool as_graph) {
  DeviceArena arena;
  cuda::BatchImage& image = all.image;
  std::vector<cuda::SequenceSettings> settings = image.settings;
  const float* scales = arena.take_in(image.scales);
  for (std::size_t s = 0; s < settings.size(); ++s) {
    settings[s].scales = scales + static_cast<std::int64_t>(s) * shape.most_branches;
  }
  cuda::StepArguments<float> there = step;
  cuda::BatchState& batch = there.sequences.batch;
  batch.settings = arena.take_in(settings);
  batch.states = arena.take(image.states);
  batch.tokens = arena.take(image.tokens);
  batch.slots = arena.take(image.slots);
  batch.noisy = arena.take(image.noisy);
  batch.laws.heads = arena.take(image.heads);
  batch.laws.ids = arena.take(image.ids);
  batch.laws.masses = arena.take(image.masses);
  batch.lost = arena.take(image.lost);
  auto& counts = image.counts;
  batch.counts = {arena.take(counts[0]), arena.take(counts[1]), arena.take(counts[2]),
                  arena.take(counts[3]), arena.take(counts[4])};
  there.rows.logits.data = arena.take_in(all.logits);
  there.rows.tasks = there.window.tasks = arena.take(all.tasks);
  there.rows.settings = batch.settings;
  there.rows.grammar.forced = arena.take_in(all.grammar.forced);
  there.rows.grammar.allowed = arena.take_in(all.grammar.allowed);
  there.rows.laws = batch.laws;
  there.window.batch = batch;
  there.window.grammar = there.rows.grammar;
  there.window.noise.coefficients = arena.take_in(all.lines.coefficients);
  there.window.noise.checkpoint_level = arena.take_in(all.lines.checkpoint_level);
  there.window.clean = arena.take_in(tables.clean);
  there.window.mean = arena.take_in(tables.mean);
  there.window.scale = arena.take_in(tables.scale);
  there.window.embeddings =
      step.window.embeddings == nullptr ? nullptr : arena.take(all.embeddings);
  if (tables.posterior) {
    there.window.posterior = {arena.take_in(tables.scores), arena.take_in(tables.half_square),
                              arena.take_in(tables.log_prior), arena.take_in(tables.embeddings),
                              arena.take(all.weights)};
  }
  there.window.input = arena.take(all.input);
  if (as_graph) {
    replay(there);
  } else {
    cuda::Stream stream;
    cuda::decode_step(stream, there);
  }
  arena.fetch();
}

bool loops_on_device() {
  return cuda::has_while_nodes();
}

std::vector<DecoderState> loop_on_device(const LoopCase& loop, bool looks,
                                         const cuda::DeviceLimits& limits,
                                         const cuda::HeadTables* head, LoopGraphs& out_graphs) {
  cuda::GraphDevice device{looks};
  std::vector<DecoderState> states;
  if (head == nullptr) {
    states = run_loop(loop, device, limits, cuda::NoChange{});
  } else {
    const cuda::DeviceHead there{device, *head, loop.room.sequences, loop.rules.depth};
    states = run_loop(loop, device, limits, there.change());
  }
  out_graphs = {device.captures(), device.looks()};
  return states;
}

void statistics_on_device(StatisticsArrays& all) {
  DeviceArena arena;
  cuda::Stream stream;
  cuda::statistics(stream, {{arena.take_in(all.table), all.vocab, all.dim},
                            all.per_channel,
                            arena.take(all.normalized),
                            arena.take(all.mean),
                            arena.take(all.scale),
                            arena.take(all.rows)});
  arena.fetch();
}

}  // namespace sjd::test
