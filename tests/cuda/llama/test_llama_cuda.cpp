// SPDX-License-Identifier: Apache-2.0
// The device host on the host executor against LlamaHost: the same model, other arithmetic.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "sjd/hosts/llama_cuda.hpp"
#include "sjd/sjd.hpp"
#include "support/catch.hpp"
#include "support/llama_script.hpp"

namespace sjd::test {
namespace {

using cuda::Bf16;
using cuda::DevicePass;
using hosts::HostBackend;
using hosts::LlamaCuda;
using hosts::LlamaCudaSize;
using hosts::Storage;
template <class Number>
using Cuda = LlamaCuda<HostBackend, Number>;

static_assert(NoisyModel<Cuda<float>> && HiddenModel<Cuda<Bf16>>);
static_assert(cuda::DeviceModel<Cuda<float>, cuda::HostLauncher>);
static_assert(cuda::DeviceModel<Cuda<Bf16>, cuda::HostLauncher, Bf16>);

/// Host memory is the device memory of a HostBackend.
MatrixView<float, DeviceMemory> on_device(Logits& logits) {
  const MatrixView<float> view = logits.view();
  return {view.data, view.rows, view.columns};
}
MatrixView<const float, DeviceMemory> on_device(const MatrixView<const float>& view) {
  return {view.data, view.rows, view.columns};
}

/// Largest distance of two rows, as a share of the spread of the first one.
double distance(const std::vector<float>& expected, const std::vector<float>& found) {
  const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
  double worst = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(static_cast<double>(found[i] - expected[i]));
    if (!(error <= worst)) worst = error;
  }
  return worst / static_cast<double>(*high - *low);
}

/// Runs a script through both hosts: prefill of two branches, then windows of `window` rows that
/// slide by `slide`, branch 1 a row behind. Returns the largest distance of logits and hidden rows.
template <class Number>
double script_distance(LlamaHost& host, Cuda<Number>& cuda, const Script& script,
                       std::int64_t window, std::int64_t slide, std::int64_t end) {
  const std::int64_t vocab = host.vocab_size();
  Logits expected{2 * window, vocab};
  Logits found{2 * window, vocab};
  Logits hidden{2 * window, host.hidden_dim()};
  Logits found_hidden{2 * window, host.hidden_dim()};
  Logits first{2, vocab};
  Logits found_first{2, vocab};
  host.prefill(0, script.prompt, first.view());
  cuda.prefill(0, script.prompt, on_device(found_first));
  double worst = std::max(distance(first.row(0), found_first.row(0)),
                          distance(first.row(1), found_first.row(1)));
  for (std::int64_t at = 0; at + window < end; at += slide) {
    const std::vector<KeepLength> keep{{0, 0, at}, {0, 1, std::max<std::int64_t>(0, at - 1)}};
    std::vector<InputRow> rows;
    for (const KeepLength& k : keep) {
      const std::int64_t count = k.branch == 0 ? window : window - 1;
      for (std::int64_t i = 0; i < count; ++i)
        rows.push_back(script.row(0, k.branch, k.length + i));
    }
    const auto vectors = script.vectors(host.config());
    host.forward({keep, rows, vectors, expected.view(), hidden.view()});
    cuda.forward({keep, rows, on_device(vectors), on_device(found), on_device(found_hidden)});
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(rows.size()); ++i) {
      worst = std::max({worst, distance(expected.row(i), found.row(i)),
                        distance(hidden.row(i), found_hidden.row(i))});
    }
  }
  return worst;
}

struct Shape {
  LlamaConfig config;
  LlamaCudaSize size;
  std::int64_t multiprocessors = 1;
};

/// Sizes that meet every kernel: heads a key head, head_dim, norms, splits, cut passes.
std::vector<Shape> shapes() {
  std::vector<Shape> all{{tiny_shape(), {1, 7}, 1}, {tiny_shape(), {2, 3}, 24}};
  Shape wide{tiny_shape(), {1, 16}, 8};
  wide.config.qk_norm = false;
  wide.config.heads = wide.config.kv_heads = 2;
  wide.config.head_dim = 128;
  wide.config.rope_theta = 1e6;
  all.push_back(wide);
  return all;
}

using Request = GenerationRequest<LlamaHost::Prompt>;

std::vector<Request> some_requests() {
  std::vector<Request> requests;
  for (std::uint64_t i = 0; i < 3; ++i) {
    Request request{.prompt = {2 + static_cast<std::int32_t>(i), 4}, .tokens = 40, .sample = i};
    request.seed = 5;
    if (i == 1) request.guidance = {2.0F};
    requests.push_back(request);
  }
  return requests;
}

/// Requests whose tokens are the same from both hosts.
template <template <class...> class Decoder, class... Policies>
int equal_decodes(Policies... policies) {
  const LlamaDirectory files{tiny_shape()};
  LlamaHost host = files.load({.max_sequences = 2, .storage = hosts::Storage::fp32});
  HostBackend backend;
  LlamaCuda<HostBackend, float> cuda{backend, files.directory.path(), "sjd2.safetensors", {2, 6}};
  Decoder<LlamaHost, Policies...> on_host{host, policies...};
  Decoder<LlamaCuda<HostBackend, float>, Policies...> on_device{cuda, policies...};
  const std::vector<Request> requests = some_requests();
  const auto expected = on_host.generate(requests);
  const auto found = on_device.generate(requests);
  int equal = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    REQUIRE(found[i].tokens.size() == 40);
    equal += found[i].tokens == expected[i].tokens ? 1 : 0;
  }
  return equal;
}

}  // namespace

TEST_CASE("logits in fp32 are those of LlamaHost but for rounding") {
  for (const Shape& shape : shapes()) {
    const LlamaDirectory files{shape.config};
    LlamaHost host = files.load({.storage = Storage::fp32});
    HostBackend backend{{.seed = 3}, shape.multiprocessors};
    Cuda<float> cuda{backend, files.directory.path(), "sjd2.safetensors", shape.size};
    const Script script{shape.config, 4, true};
    CAPTURE(shape.config.head_dim, shape.size.rows);
    CHECK(script_distance(host, cuda, script, 7, 5, 80) < 5e-6);
  }
}

TEST_CASE("logits in bf16 are near those of LlamaHost in bf16") {
  for (const Shape& shape : shapes()) {
    const LlamaDirectory files{shape.config};
    LlamaHost host = files.load({.storage = Storage::bf16});
    HostBackend backend{{.seed = 4}, shape.multiprocessors};
    Cuda<Bf16> cuda{backend, files.directory.path(), "sjd2.safetensors", shape.size};
    const Script script{shape.config, 4, true};
    CAPTURE(shape.config.head_dim, shape.size.rows);
    CHECK(script_distance(host, cuda, script, 7, 5, 40) < 0.03);
  }
}

TEST_CASE("the shipped weights give LlamaHost's logits in fp32") {
  const std::string directory = SJD_MODEL_DIR;
  LlamaHost host = LlamaHost::load(directory, "sjd2.safetensors", {.storage = Storage::fp32});
  HostBackend backend{{.seed = 5}, 4};
  Cuda<float> cuda{backend, directory, "sjd2.safetensors", {1, 4}};
  const Script script{host.config(), 4, true};
  CHECK(script_distance(host, cuda, script, 4, 4, 10) < 5e-6);
}

// Logits differ from LlamaHost's in the last digits, so equal tokens are no promise: they are what
// these seeds give, and what they would not give if more than digits differed.

TEST_CASE("the likeliest tokens of the device host are LlamaHost's") {
  CHECK(equal_decodes<PlainAr>(GreedyEquality{}) == 3);
}

TEST_CASE("coupled SJD2 on the device host draws what it draws on LlamaHost") {
  CHECK(equal_decodes<SpeculativeJacobiDenoiser>(
            FixedWindow{.tokens = 6},
            KarrasSchedule{.levels = 2, .grid = 4, .rho_min = 2.0F, .rho_max = 16.0F}) == 3);
}

}  // namespace sjd::test
