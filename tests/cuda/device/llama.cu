// SPDX-License-Identifier: Apache-2.0
// The device host on a real device: attention against its definition, the model against its text
// in double precision, and a pass in a CUDA graph.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "cuda/llama/attention_cases.hpp"
#include "sjd/hosts/llama_cuda.cuh"
#include "support/naive_llama.hpp"
#include "support/random_checkpoint.hpp"

namespace sjd::test {
namespace {

using cuda::Bf16;
using hosts::CudaBackend;
using hosts::DeviceArrays;
using hosts::LlamaCuda;

constexpr int skipped = 77;
constexpr std::int64_t rows = 6;

struct Report {
  int passed = 0;
  int failed = 0;

  void operator()(const std::string& what, double found, double bound) {
    const bool good = found <= bound;
    (good ? passed : failed) += 1;
    std::printf("%s %s: %.3g, at most %.3g\n", good ? "ok    " : "FAILED", what.c_str(), found,
                bound);
  }
};

template <class Number>
double attention_on_device(CudaBackend& backend, const AttentionCase& c) {
  AttentionArrays<Number> all{c};
  DeviceArrays<CudaBackend> arrays{backend};
  const auto arguments = all.arguments(c, [&](auto& array) { return arrays.copy(array); });
  cuda::attend(backend.launcher(), arguments);
  backend.download(all.attended.data(), arguments.attended, all.attended.size() * sizeof(Number));
  return attention_error(c, all);
}

template <class Number>
void check_attention(CudaBackend& backend, const std::string& type, double bound, Report& report) {
  std::vector<AttentionCase> cases = attention_cases();
  cases.push_back({.groups = 2,
                   .rows = 96,
                   .heads = 8,
                   .kv_heads = 2,
                   .dim = 128,
                   .capacity = 1024,
                   .before = 700,
                   .live = 80,
                   .splits = 4});
  for (const AttentionCase& c : cases) {
    report("attention, " + type + ", head_dim " + std::to_string(c.dim) + ", " +
               std::to_string(c.before) + " keys before, " + std::to_string(c.splits) + " splits",
           attention_on_device<Number>(backend, c), bound);
  }
}

/// A window behind the prompt {3, 4}: clean tokens, one noisy row.
struct Window {
  std::vector<InputRow> input;     // [1, 1, rows]
  std::vector<float> embeddings;   // [rows, hidden]
  std::vector<NaiveInput> inputs;  // the whole sequence

  explicit Window(const hosts::LlamaConfig& c) {
    inputs = {{.word = 3}, {.word = 4}, {.word = 1, .image_index = 0}};
    for (std::int64_t i = 0; i < rows * c.hidden_size; ++i) {
      embeddings.push_back(static_cast<float>((i * 37 + 11) % 101) / 50.0F - 1.0F);
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto token = static_cast<TokenId>(17 * i + 5);
      if (i == 3) {
        input.push_back({0, 0, i, 0, 2, i});
        const auto first = embeddings.begin() + i * c.hidden_size;
        inputs.push_back({.image_index = i + 1, .level = 2, .fed = {first, first + c.hidden_size}});
      } else {
        input.push_back({0, 0, i, token, 0, -1});
        inputs.push_back({.image_index = i + 1, .token = token});
      }
    }
  }
};

/// Largest distance as a share of the spread of the expected row.
double distance(const std::vector<double>& expected, const float* found) {
  const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
  double worst = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(expected[i] - static_cast<double>(found[i]));
    if (!(error <= worst)) worst = error;
  }
  return worst / (*high - *low);
}

/// The same pass in a graph; 0 if its logits have the bits of the direct one.
template <class Number>
double graph_difference(LlamaCuda<CudaBackend, Number>& model, CudaBackend& backend,
                        const cuda::DevicePass<float>& pass, const std::vector<float>& direct) {
  backend.clear(pass.logits.data, direct.size() * sizeof(float));
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  cudaStream_t stream = backend.launcher().raw();
  cuda::check(cudaStreamSynchronize(stream), "a pass");
  cuda::check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "capturing");
  model.enqueue(backend.launcher(), pass);
  cuda::check(cudaStreamEndCapture(stream, &graph), "the end of a capture");
  std::size_t nodes = 0;
  cuda::check(cudaGraphGetNodes(graph, nullptr, &nodes), "the nodes of a graph");
  std::printf("       a pass of 2 layers is a graph of %zu nodes\n", nodes);
  cuda::check(cudaGraphInstantiate(&ready, graph, 0), "a graph");
  for (int i = 0; i < 2; ++i) cuda::check(cudaGraphLaunch(ready, stream), "launching a graph");
  std::vector<float> replayed(direct.size());
  backend.download(replayed.data(), pass.logits.data, replayed.size() * sizeof(float));
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  return std::memcmp(replayed.data(), direct.data(), direct.size() * sizeof(float)) == 0 ? 0.0
                                                                                         : 1.0;
}

template <class Number>
void check_model(CudaBackend& backend, const std::string& type, double bound, Report& report) {
  const hosts::LlamaConfig config = tiny_shape();
  const TemporaryDirectory directory;
  write_random_model(directory.path(), config, 5);
  LlamaCuda<CudaBackend, Number> model{backend, directory.path(), "sjd2.safetensors", {1, rows}};
  const NaiveLlama naive{config, random_model(config, true, 5)};
  const Window window{config};
  const auto expected = naive.logits(window.inputs);

  DeviceArrays<CudaBackend> arrays{backend};
  std::vector<float> logits(static_cast<std::size_t>(rows * config.image_vocab_size));
  auto* on_device = arrays.zeros<float>(rows * config.image_vocab_size);
  model.prefill(0, {3, 4}, {on_device, 1, config.image_vocab_size});
  backend.download(logits.data(), on_device, logits.size() * sizeof(float));
  report("first logits, " + type, distance(expected[2], logits.data()), bound);

  const cuda::DevicePass<float> pass{1,
                                     1,
                                     rows,
                                     arrays.copy(window.input),
                                     arrays.copy(window.embeddings),
                                     {on_device, rows, config.image_vocab_size}};
  model.enqueue(backend.launcher(), pass);
  backend.download(logits.data(), on_device, logits.size() * sizeof(float));
  for (std::int64_t i = 0; i < rows; ++i) {
    report("logits of row " + std::to_string(i) + ", " + type,
           distance(expected[static_cast<std::size_t>(3 + i)],
                    logits.data() + i * config.image_vocab_size),
           bound);
  }
  report("a graph instead of a pass, " + type, graph_difference(model, backend, pass, logits), 0.0);
}

int run_all() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess || count == 0) {
    std::printf("skipped: no CUDA device (%s)\n",
                code != cudaSuccess ? cudaGetErrorString(code) : "the driver lists none");
    return skipped;
  }
  Report report;
  CudaBackend backend;
  check_attention<float>(backend, "fp32", 1e-5, report);
  check_attention<Bf16>(backend, "bf16", 0.02, report);
  check_model<float>(backend, "fp32", 1e-5, report);
  check_model<Bf16>(backend, "bf16", 0.04, report);
  std::printf("%d passed, %d failed\n", report.passed, report.failed);
  return report.failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace sjd::test

int main() {
  try {
    return sjd::test::run_all();
  } catch (const std::exception& error) {
    std::printf("FAILED: %s\n", error.what());
    return 1;
  }
}
