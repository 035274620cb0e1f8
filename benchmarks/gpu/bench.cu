// SPDX-License-Identifier: Apache-2.0
// Times the kernels of the library on the device at hand, each as the nodes of one CUDA graph, and
// sets every time beside the least that its bytes could take. Writes a table and JSON.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "device_batch.cuh"

namespace sjd::bench {
namespace {

constexpr int skipped = 77;

/// One line of the table.
struct Line {
  std::string id;
  std::string what;
  double microseconds = 0.0;  ///< median
  double least = 0.0;         ///< bytes over the copy speed of this device
  double target = 0.0;        ///< of the study; 0 = none
};

/// Median time of one of `repeats` equal pieces of work in a graph, over fifty replays.
template <class Work>
double time_in_graph(int repeats, const Work& work) {
  cudaStream_t raw = nullptr;
  cuda::check(cudaStreamCreate(&raw), "a stream");
  cuda::check(cudaStreamBeginCapture(raw, cudaStreamCaptureModeGlobal), "capturing");
  for (int i = 0; i < repeats; ++i) work(raw, i);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  cuda::check(cudaStreamEndCapture(raw, &graph), "the end of a capture");
  cuda::check(cudaGraphInstantiate(&ready, graph, 0), "a graph");
  cudaEvent_t begin = nullptr, end = nullptr;
  cuda::check(cudaEventCreate(&begin), "an event");
  cuda::check(cudaEventCreate(&end), "an event");
  std::vector<double> times;
  for (int i = 0; i < 55; ++i) {
    cuda::check(cudaEventRecord(begin, raw), "an event");
    cuda::check(cudaGraphLaunch(ready, raw), "a graph");
    cuda::check(cudaEventRecord(end, raw), "an event");
    cuda::check(cudaEventSynchronize(end), "running a graph");
    float milliseconds = 0.0F;
    cuda::check(cudaEventElapsedTime(&milliseconds, begin, end), "a time");
    if (i >= 5) times.push_back(1.0e3 * double{milliseconds} / repeats);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(raw);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// Bytes a microsecond of a large copy, both directions counted.
double copy_speed() {
  const std::size_t bytes = std::size_t{1} << 28;
  DeviceArray<char> from{bytes}, to{bytes};
  const double time = time_in_graph(4, [&](cudaStream_t stream, int) {
    cuda::check(cudaMemcpyAsync(to.data, from.data, bytes, cudaMemcpyDeviceToDevice, stream),
                "a copy");
  });
  return 2.0 * static_cast<double>(bytes) / time;
}

/// G1 and G2: the rows kernel, 96 rows of two branches in bf16.
Line rows_line(const char* id, std::int64_t vocab, std::int64_t top_k, double target,
               double speed) {
  DeviceBatch batch{{.sequences = 1, .rows = 96, .vocab = vocab, .top_k = top_k, .dim = 0}};
  const double time = time_in_graph(20, [&](cudaStream_t raw, int i) {
    cuda::Stream stream{raw};
    batch.use_logits(i);
    cuda::rows(stream, batch.step.plan, batch.step.rows);
  });
  const double bytes =
      96.0 * (2.0 * static_cast<double>(vocab) * 2.0 + static_cast<double>(top_k) * 8.0);
  return {id,
          "rows: 96 rows, vocabulary " + std::to_string(vocab) + ", top-k " + std::to_string(top_k),
          time, bytes / speed, target};
}

/// G3: the sequences kernel; its state is put back before every run, and that is taken off.
Line sequences_line(std::int64_t sequences, std::int64_t rows, double target) {
  DeviceBatch batch{{.sequences = sequences, .rows = rows, .vocab = 8192, .top_k = 2000, .dim = 0}};
  batch.settle();
  const auto restore = [&](cudaStream_t raw) { batch.restore_states(raw); };
  const double both = time_in_graph(20, [&](cudaStream_t raw, int) {
    restore(raw);
    cuda::Stream stream{raw};
    cuda::sequences(stream, batch.step.sequences);
  });
  const double copies = time_in_graph(20, [&](cudaStream_t raw, int) { restore(raw); });
  return {"G3", "sequences: " + std::to_string(sequences) + " of " + std::to_string(rows) + " rows",
          both - copies, 0.0, target};
}

/// G4: the window kernel with noise.
Line window_line(std::int64_t dim, double target, double speed) {
  DeviceBatch batch{{.sequences = 1, .rows = 96, .vocab = 8192, .top_k = 2000, .dim = dim}};
  batch.settle();
  const double time = time_in_graph(20, [&](cudaStream_t raw, int) {
    cuda::Stream stream{raw};
    cuda::window(stream, batch.step.window);
  });
  const double bytes = 96.0 * static_cast<double>(dim) * 4.0 * 4.0;  // z in and out, e, fed
  return {"G4", "window: 96 rows, dim " + std::to_string(dim), time, bytes / speed, target};
}

/// G5: the whole step.
Line step_line(std::int64_t sequences, std::int64_t dim, double target) {
  DeviceBatch batch{{.sequences = sequences, .rows = 96, .vocab = 8192, .top_k = 2000, .dim = dim}};
  batch.settle();
  const double time = time_in_graph(20, [&](cudaStream_t raw, int i) {
    cuda::Stream stream{raw};
    batch.use_logits(i);
    cuda::decode_step(stream, batch.step);
  });
  return {"G5", "step: " + std::to_string(sequences) + " of 96 rows, dim " + std::to_string(dim),
          time, 0.0, target};
}

void print(const std::vector<Line>& lines, const char* device, double speed, const char* path) {
  std::printf("device: %s, copies %.0f GB/s\n", device, speed / 1.0e3);
  std::printf("%-4s %-48s %9s %9s %9s\n", "", "what", "us", "least us", "target us");
  for (const Line& line : lines) {
    std::printf("%-4s %-48s %9.2f %9.2f %9.2f\n", line.id.c_str(), line.what.c_str(),
                line.microseconds, line.least, line.target);
  }
  std::FILE* json = std::fopen(path, "w");
  if (json == nullptr) return;
  std::fprintf(json, "{\"device\": \"%s\", \"copy_gb_per_s\": %.1f, \"lines\": [\n", device,
               speed / 1.0e3);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::fprintf(json,
                 "  {\"id\": \"%s\", \"what\": \"%s\", \"us\": %.3f, \"least_us\": %.3f, "
                 "\"target_us\": %.1f}%s\n",
                 lines[i].id.c_str(), lines[i].what.c_str(), lines[i].microseconds, lines[i].least,
                 lines[i].target, i + 1 < lines.size() ? "," : "");
  }
  std::fprintf(json, "]}\n");
  std::fclose(json);
}

int run(const char* path, bool probe) {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess || count == 0) {
    std::printf("skipped: no CUDA device (%s)\n",
                code != cudaSuccess ? cudaGetErrorString(code) : "the driver lists none");
    return skipped;
  }
  if (probe) return 0;
  cudaDeviceProp device{};
  cuda::check(cudaGetDeviceProperties(&device, 0), "the device");
  const double speed = copy_speed();
  std::vector<Line> lines{rows_line("G1", 8192, 2000, 6.0, speed),
                          rows_line("G2", 32768, 2000, 9.0, speed),
                          rows_line("G2", 65536, 2000, 12.0, speed),
                          rows_line("G2", 184622, 2000, 25.0, speed),
                          sequences_line(1, 16, 3.0),
                          sequences_line(1, 96, 3.0),
                          sequences_line(32, 96, 4.0),
                          window_line(2048, 2.5, speed),
                          window_line(4096, 2.5, speed),
                          step_line(1, 0, 12.0),
                          step_line(1, 4096, 12.0),
                          step_line(8, 0, 0.0)};
  print(lines, device.name, speed, path);
  return 0;
}

}  // namespace
}  // namespace sjd::bench

/// gpu_bench FILE.json, or gpu_bench --probe: is there a device.
int main(int count, char** words) {
  if (count != 2) {
    std::fprintf(stderr, "gpu_bench FILE.json | --probe\n");
    return 64;
  }
  try {
    return sjd::bench::run(words[1], std::strcmp(words[1], "--probe") == 0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_bench: %s\n", error.what());
    return 1;
  }
}
