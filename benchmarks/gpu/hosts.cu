// SPDX-License-Identifier: Apache-2.0
// G6: passes of the device host with random weights of published shapes, each with the step behind
// it as one graph, for windows beside plain AR; and whole pictures of a model directory, coupled
// SJD2 with the corrector head beside AR on the same device loop.
#pragma nv_diag_suppress 1675, 550  // unroll pragmas and assembly of the CPU's kernels
#include <cuda_runtime.h>

#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "gpu_measure.cuh"
#include "host_lines.hpp"
#include "mid_picture.hpp"
#include "picture_loop.hpp"
#include "sjd/core/stopwatch.hpp"
#include "sjd/cuda/graph.cuh"
#include "sjd/hosts/llama_cuda.cuh"
#include "sjd/hosts/llama_shapes.hpp"
#include "sjd/hosts/word_tokenizer.hpp"

namespace sjd::bench {
namespace {

using cuda::Bf16;
using cuda::GraphDevice;
using hosts::CudaBackend;
using hosts::LlamaConfig;

constexpr int skipped = 77;
constexpr std::array<std::int64_t, 7> windows{1, 8, 16, 32, 64, 80, 128};
constexpr std::int64_t widest = 128;

/// Two graphs a window, in turns: pass and step, then the step alone on the logits of that pass.
void time_passes(HostShape shape, const LlamaConfig& config, double speed, DeviceClock& clock,
                 GpuResults& results) {
  using Model = hosts::LlamaCuda<CudaBackend, Bf16>;
  using Middle = MidPicture<Model, GraphDevice>;
  constexpr std::int64_t top_k = 2000;
  const std::int64_t tokens = config.image_tokens();
  shape.context = context_of(config);
  shape.least = bytes_of_pass(config, shape.context) / speed;
  CudaBackend backend;
  Model model{backend, config, 1, {1, widest}};
  GraphDevice device;
  std::vector<std::unique_ptr<Middle>> middles;
  std::vector<Graph> graphs;
  std::vector<PassTimes> passes;
  for (const std::int64_t window : windows) {
    if (shape.context + window > tokens) continue;
    const MidPictureSize size{window, shape.context, tokens, widest, top_k};
    middles.push_back(std::make_unique<Middle>(model, device, size, cuda::device_limits()));
    const Middle& middle = *middles.back();
    graphs.emplace_back(1, [&](cudaStream_t raw, int) {
      cuda::Stream stream{raw};
      middle.enqueue_pass(stream);
      middle.enqueue_step(stream);
    });
    graphs.emplace_back(1, [&](cudaStream_t raw, int) {
      cuda::Stream stream{raw};
      middle.enqueue_step(stream);
    });
    passes.push_back({.window = window});
  }
  const auto times = clock.rounds(graphs, 15, [&](std::size_t i) {
    middles[i / 2]->restore();
    cuda::check(cudaDeviceSynchronize(), "putting a state back");
  });
  for (std::size_t i = 0; i < passes.size(); ++i) {
    passes[i].whole = times[2 * i];
    passes[i].step = times[2 * i + 1];
  }
  for (const GpuLine& line : pass_lines(shape, passes)) results.lines.push_back(line);
}

using Painter = hosts::LlamaCuda<CudaBackend, Bf16>;
using PictureRequest = GenerationRequest<Painter::Prompt>;

/// A composition that takes its turns.
struct Contender {
  PictureTimes times;
  std::function<std::vector<DecoderState>()> decode;
};

template <class... Policies>
Contender contender(Painter& model, const std::vector<PictureRequest>& requests, std::string name,
                    Policies... policies) {
  using Loop = PictureLoop<Painter, GraphDevice, Policies...>;
  const auto branches = static_cast<std::int64_t>(requests[0].guidance.size()) + 1;
  auto loop = std::make_shared<Loop>(model, requests[0].tokens, branches, cuda::device_limits(),
                                     policies...);
  return {{.name = std::move(name)}, [loop, &requests] { return (*loop)(requests); }};
}

std::vector<PictureRequest> requests_of(const std::filesystem::path& directory,
                                        const LlamaConfig& config, std::vector<float> guidance) {
  constexpr std::array prompts{"red heart",    "palm tree",    "umbrella",      "smiling face",
                               "hot beverage", "horse racing", "sun with face", "artist palette"};
  const auto words = hosts::WordTokenizer::read(directory / "tokenizer.json");
  std::vector<PictureRequest> requests;
  for (const char* prompt : prompts) {
    requests.push_back({.prompt = words.encode(prompt, config.max_prompt_tokens).ids,
                        .tokens = config.image_tokens(),
                        .seed = 11,
                        .sample = requests.size(),
                        .guidance = guidance});
  }
  return requests;
}

/// A round of one composition: all pictures, one after the other. The first run loads kernels and
/// captures; its first picture must come again.
void take_turn(Contender& c, bool counts, std::vector<TokenId>& first) {
  const Stopwatch watch;
  const std::vector<DecoderState> pictures = c.decode();
  const double seconds = watch.seconds();
  if (first.empty()) first = pictures[0].tokens;
  if (pictures[0].tokens != first) {
    throw std::runtime_error(c.times.name + ": two runs drew different tokens");
  }
  c.times.tokens_per_pass = tokens_per_pass(pictures);
  if (!counts) return;
  c.times.milliseconds.push_back(1.0e3 * seconds / static_cast<double>(pictures.size()));
}

void time_pictures(Painter& model, const std::vector<PictureRequest>& requests,
                   const std::string& group, GpuResults& results) {
  constexpr int rounds = 7;
  std::vector<Contender> all;
  all.push_back(contender(model, requests, "AR", FixedWindow{.tokens = 1}, NoNoise{}));
  for (const std::int64_t window : {16, 32, 64}) {
    all.push_back(contender(model, requests, "W " + std::to_string(window),
                            FixedWindow{.tokens = window}, HeadCorrector{}));
  }
  std::vector<std::vector<TokenId>> first(all.size());
  for (int round = -1; round < rounds; ++round) {
    for (std::size_t i = 0; i < all.size(); ++i) take_turn(all[i], round >= 0, first[i]);
  }
  std::vector<PictureTimes> times;
  for (const Contender& c : all) times.push_back(c.times);
  for (const GpuLine& line : picture_lines(group, times)) results.lines.push_back(line);
}

void time_painter(const std::filesystem::path& directory, GpuResults& results) {
  CudaBackend backend;
  Painter model{backend, directory, "sjd2.safetensors", {1, 64}};
  load_head(model, directory);
  time_pictures(model, requests_of(directory, model.config(), {}), "pictures", results);
  time_pictures(model, requests_of(directory, model.config(), {3.0F}), "guided pictures", results);
}

/// A shape that this device has no room for leaves a line that says so.
void time_shape(const HostShape& shape, const LlamaConfig& config, double speed, DeviceClock& clock,
                GpuResults& results) {
  const auto no_room = [&] {
    results.lines.push_back({.id = "G6",
                             .shape = shape.name + ", AR",
                             .who = "sjd",
                             .unit = "us",
                             .note = "does not fit into this device"});
  };
  try {
    time_passes(shape, config, speed, clock, results);
  } catch (const std::bad_alloc&) {
    no_room();
  } catch (const cuda::CudaError& error) {
    if (error.code() != cudaErrorMemoryAllocation) throw;
    static_cast<void>(cudaGetLastError());
    no_room();
  }
}

void write_file(const char* path, const GpuResults& results) {
  std::ofstream file{path};
  write_lines(file, results);
  file.close();
  if (!file) throw std::runtime_error(std::string{path} + ": cannot be written");
}

/// The file is written behind every part, so that what was measured stays.
int run(const char* directory, const char* path) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::puts("skipped: no CUDA device");
    return skipped;
  }
  GpuResults results;
  DeviceClock clock;
  const double speed = copy_speed(clock);
  const std::array<std::pair<HostShape, LlamaConfig>, 3> shapes{
      {{{.name = "7B", .step_target = 0.3, .ratio_target = 1.20}, hosts::lumina_mgpt_7b_shape()},
       {{.name = "1B", .step_target = 1.5}, hosts::janus_pro_1b_shape()},
       {{.name = "8B", .step_target = 0.3}, hosts::emu3_8b_shape()}}};
  for (const auto& [shape, config] : shapes) {
    time_shape(shape, config, speed, clock, results);
    write_file(path, results);
  }
  time_painter(directory, results);
  write_file(path, results);
  return 0;
}

}  // namespace
}  // namespace sjd::bench

/// gpu_hosts MODEL_DIRECTORY FILE.tsv
int main(int count, char** words) {
  if (count != 3) {
    std::fprintf(stderr, "gpu_hosts MODEL_DIRECTORY FILE.tsv\n");
    return 64;
  }
  try {
    return sjd::bench::run(words[1], words[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_hosts: %s\n", error.what());
    return 1;
  }
}
