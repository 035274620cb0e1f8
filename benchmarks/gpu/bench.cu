// SPDX-License-Identifier: Apache-2.0
// Times the kernels of the library on the device at hand, each as the nodes of one CUDA graph, in
// turns with chains of separate kernels, and sets every time beside the least that its bytes could
// take. Leaves lines for gpu_table.
#include <cuda_profiler_api.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <string>
#include <vector>

#include "chains.cuh"
#include "device_batch.cuh"
#include "gpu_lines.hpp"
#include "gpu_measure.cuh"

namespace sjd::bench {
namespace {

constexpr int skipped = 77;
constexpr int pieces = 20;  // of a graph
constexpr std::int64_t rows = 96;

/// One launch of a kernel of ours in the middle of a picture.
struct RowsCase {
  std::int64_t vocab = 8192;
  double target = 0.0;      ///< us
  double over_chain = 0.0;  ///< target over a chain of kernels; 0: none
  float spread = 2.5F;      ///< of the logits
  const char* law = "";     ///< what the spread makes of the laws
  std::int64_t top_k = 2000;
};

std::string shape_of(const RowsCase& c) {
  return std::to_string(rows) + " rows, V " + std::to_string(c.vocab) + c.law;
}

/// Both branches read once; heads, ids and masses written.
double rows_bytes(const RowsCase& c) {
  return static_cast<double>(rows) *
         (4.0 * static_cast<double>(c.vocab) + 8.0 * static_cast<double>(c.top_k));
}

std::optional<double> unless_zero(double value) {
  return value == 0.0 ? std::nullopt : std::optional{value};
}

/// The token of each of the first rows must be among the top_k of its mixed logits.
void expect_sensible(const DeviceBatch& batch, const RowsCase& c, const Chains& chains) {
  const auto tokens = chains.tokens();
  const auto count = static_cast<std::size_t>(c.vocab);
  std::vector<cuda::Bf16> cond(count), uncond(count);
  std::vector<float> z(count);
  for (std::int64_t row = 0; row < 4; ++row) {
    const cuda::Bf16* from = batch.logits(0) + row * c.vocab;
    cuda::check(cudaMemcpy(cond.data(), from, 2 * count, cudaMemcpyDefault), "logits");
    cuda::check(cudaMemcpy(uncond.data(), from + rows * c.vocab, 2 * count, cudaMemcpyDefault),
                "logits");
    for (std::size_t i = 0; i < count; ++i) {
      const float u = cuda::to_float(uncond[i]);
      z[i] = u + 3.0F * (cuda::to_float(cond[i]) - u);
    }
    const auto token = static_cast<std::size_t>(tokens[static_cast<std::size_t>(row)]);
    const auto higher = std::count_if(z.begin(), z.end(), [&](float x) { return x > z.at(token); });
    if (higher >= c.top_k) throw std::runtime_error("a chain drew a token outside the top-k");
  }
}

/// G1 and G2: the rows kernel and two chains over the same logits.
void time_rows(const RowsCase& c, double speed, DeviceClock& clock, GpuResults& results) {
  DeviceBatch batch{{.sequences = 1,
                     .rows = rows,
                     .vocab = c.vocab,
                     .top_k = c.top_k,
                     .dim = 0,
                     .spread = c.spread}};
  const Chains chains{rows, c.vocab, c.top_k};
  for (const bool sorts : {false, true}) {
    sorts ? chains.sort(nullptr, batch.logits(0)) : chains.bisect(nullptr, batch.logits(0));
    expect_sensible(batch, c, chains);
  }
  std::vector<Graph> graphs;
  graphs.emplace_back(pieces, [&](cudaStream_t raw, int i) {
    cuda::Stream stream{raw};
    batch.use_logits(i);
    cuda::rows(stream, batch.step.plan, batch.step.rows);
  });
  graphs.emplace_back(pieces,
                      [&](cudaStream_t raw, int i) { chains.bisect(raw, batch.logits(i)); });
  graphs.emplace_back(pieces, [&](cudaStream_t raw, int i) { chains.sort(raw, batch.logits(i)); });
  const auto times = clock.rounds(graphs);
  const char* id = c.vocab == 8192 ? "G1" : "G2";
  GpuLine line{.id = id, .shape = shape_of(c), .who = "sjd", .unit = "us"};
  line.least = rows_bytes(c) / speed;
  line.target = unless_zero(c.target);
  results.lines.push_back(summed_up(line, times[0]));
  line.least.reset();
  line.target.reset();
  line.target_ratio = unless_zero(c.over_chain);
  line.who = "own chain: bisection";
  results.lines.push_back(summed_up(line, times[1]));
  line.who = "own chain: radix sort";
  results.lines.push_back(summed_up(line, times[2]));
}

/// G3: the sequences kernel; its state is put back before every run, and that is taken off.
void time_sequences(std::int64_t sequences, std::int64_t window, double target, DeviceClock& clock,
                    GpuResults& results) {
  DeviceBatch batch{
      {.sequences = sequences, .rows = window, .vocab = 8192, .top_k = 2000, .dim = 0}};
  batch.settle();
  std::vector<Graph> graphs;
  graphs.emplace_back(pieces, [&](cudaStream_t raw, int) {
    batch.restore_states(raw);
    cuda::Stream stream{raw};
    cuda::sequences(stream, batch.step.sequences);
  });
  graphs.emplace_back(pieces, [&](cudaStream_t raw, int) { batch.restore_states(raw); });
  auto times = clock.rounds(graphs);
  for (std::size_t i = 0; i < times[0].size(); ++i) times[0][i] -= times[1][i];
  GpuLine line{.id = "G3", .who = "sjd", .unit = "us"};
  line.shape = "verify, " + std::to_string(sequences) + " x " + std::to_string(window) + " rows";
  line.target = target;
  line.note = "laws in the cache";
  results.lines.push_back(summed_up(line, times[0]));
}

/// G4: the window kernel with noise; its drafts are put back before every run, or they would lose
/// their noise in a few, and that is taken off.
void time_window(std::int64_t sequences, std::int64_t dim, double target, double speed,
                 DeviceClock& clock, GpuResults& results) {
  DeviceBatch batch{
      {.sequences = sequences, .rows = rows, .vocab = 8192, .top_k = 2000, .dim = dim}};
  batch.settle();
  std::vector<Graph> graphs;
  graphs.emplace_back(pieces, [&](cudaStream_t raw, int) {
    batch.restore_slots(raw);
    cuda::Stream stream{raw};
    cuda::window(stream, batch.step.window);
  });
  graphs.emplace_back(pieces, [&](cudaStream_t raw, int) { batch.restore_slots(raw); });
  auto times = clock.rounds(graphs);
  for (std::size_t i = 0; i < times[0].size(); ++i) times[0][i] -= times[1][i];
  GpuLine line{.id = "G4", .who = "sjd", .unit = "us"};
  line.shape = "window, " + std::to_string(sequences * rows) + " rows of " + std::to_string(dim);
  line.least =  // z in and out, the table's row, what the host is fed
      static_cast<double>(sequences * rows * dim) * 16.0 / speed;
  line.target = target > 0.0 ? target : *line.least / 0.6;
  results.lines.push_back(summed_up(line, times[0]));
}

/// G5: the whole step.
void time_step(std::int64_t sequences, std::int64_t dim, double target, DeviceClock& clock,
               GpuResults& results) {
  DeviceBatch batch{
      {.sequences = sequences, .rows = rows, .vocab = 8192, .top_k = 2000, .dim = dim}};
  batch.settle();
  std::vector<Graph> graphs;
  graphs.emplace_back(pieces, [&](cudaStream_t raw, int i) {
    cuda::Stream stream{raw};
    batch.use_logits(i);
    cuda::decode_step(stream, batch.step);
  });
  GpuLine line{.id = "G5", .who = "sjd", .unit = "us"};
  line.shape = "step, " + std::to_string(sequences) + " x 96 rows";
  if (dim > 0) line.shape += ", noise of " + std::to_string(dim);
  line.target = unless_zero(target);
  results.lines.push_back(summed_up(line, clock.rounds(graphs)[0]));
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void describe_device(double speed, GpuResults& results) {
  cudaDeviceProp device{};
  int kilohertz = 0;
  int driver = 0;
  int runtime = 0;
  cuda::check(cudaGetDeviceProperties(&device, 0), "the device");
  cuda::check(cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, 0), "the clock");
  cuda::check(cudaDriverGetVersion(&driver), "the driver");
  cuda::check(cudaRuntimeGetVersion(&runtime), "the runtime");
  results.facts.push_back({"device", device.name});
  results.facts.push_back({"highest clock", std::to_string(kilohertz / 1000) + " MHz"});
  results.facts.push_back(
      {"CUDA", "driver " + version_text(driver) + ", runtime " + version_text(runtime)});
  results.facts.push_back(
      {"copies", std::to_string(static_cast<int>(speed / 1.0e3)) + " GB/s, read and written"});
}

void time_all(GpuResults& results) {
  DeviceClock clock;
  const double speed = copy_speed(clock);
  describe_device(speed, results);
  time_rows({.target = 6.0, .over_chain = 8.0}, speed, clock, results);
  time_rows({.spread = 10.0F, .law = ", peaked"}, speed, clock, results);
  time_rows({.spread = 0.1F, .law = ", flat"}, speed, clock, results);
  time_rows({.vocab = 32'768, .target = 9.0}, speed, clock, results);
  time_rows({.vocab = 65'536, .target = 12.0}, speed, clock, results);
  time_rows({.vocab = 184'622, .target = 25.0}, speed, clock, results);
  time_sequences(1, 16, 3.0, clock, results);
  time_sequences(1, 96, 3.0, clock, results);
  time_sequences(32, 96, 4.0, clock, results);
  time_window(1, 2048, 2.5, speed, clock, results);
  time_window(1, 4096, 2.5, speed, clock, results);
  time_window(11, 4096, 0.0, speed, clock, results);
  time_step(1, 0, 12.0, clock, results);
  time_step(1, 4096, 12.0, clock, results);
  time_step(8, 0, 0.0, clock, results);
}

/// Each kernel once between the marks of a profiler, in the order of the lines: `least` is in
/// bytes, `note` is the number of launches.
void profile_all(GpuResults& results) {
  const auto once = [&](const std::string& shape, double bytes, int launches, const auto& launch) {
    cuda::check(cudaDeviceSynchronize(), "what came before");
    cudaProfilerStart();
    launch();
    cuda::check(cudaDeviceSynchronize(), "a kernel");
    cudaProfilerStop();
    results.lines.push_back({.id = "ncu",
                             .shape = shape,
                             .who = "sjd",
                             .unit = "bytes",
                             .least = unless_zero(bytes),
                             .note = std::to_string(launches)});
  };
  for (const std::int64_t vocab : {8'192, 32'768, 65'536}) {
    const RowsCase c{.vocab = vocab};
    DeviceBatch batch{{.sequences = 1, .rows = rows, .vocab = vocab, .top_k = c.top_k, .dim = 0}};
    cuda::Stream stream;
    batch.use_logits(0);
    once(shape_of(c), rows_bytes(c), batch.step.plan.split ? 2 : 1,
         [&] { cuda::rows(stream, batch.step.plan, batch.step.rows); });
  }
  DeviceBatch batch{{.sequences = 1, .rows = rows, .vocab = 8192, .top_k = 2000, .dim = 4096}};
  batch.settle();
  cuda::Stream stream;
  once("verify, 1 x 96 rows", 0.0, 1, [&] { cuda::sequences(stream, batch.step.sequences); });
  once("window, 96 rows of 4096", 96.0 * 4096.0 * 16.0, 1,
       [&] { cuda::window(stream, batch.step.window); });
}

int run(const std::string& what, const char* path) {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess || count == 0) {
    std::printf("skipped: no CUDA device (%s)\n",
                code != cudaSuccess ? cudaGetErrorString(code) : "the driver lists none");
    return skipped;
  }
  if (what == "--probe") return 0;
  GpuResults results;
  what == "profile" ? profile_all(results) : time_all(results);
  std::ofstream file{path};
  write_lines(file, results);
  file.close();
  if (!file) throw std::runtime_error(std::string{path} + ": cannot be written");
  return 0;
}

}  // namespace
}  // namespace sjd::bench

/// gpu_bench kernels FILE.tsv | profile FILE.tsv | --probe: is there a device.
int main(int count, char** words) {
  const std::string what = count > 1 ? words[1] : "";
  const bool is_known =
      (count == 2 && what == "--probe") || (count == 3 && (what == "kernels" || what == "profile"));
  if (!is_known) {
    std::fprintf(stderr, "gpu_bench kernels FILE.tsv | profile FILE.tsv | --probe\n");
    return 64;
  }
  try {
    return sjd::bench::run(what, count == 3 ? words[2] : nullptr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_bench: %s\n", error.what());
    return 1;
  }
}
