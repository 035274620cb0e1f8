// SPDX-License-Identifier: Apache-2.0
// Passes whose rows lie in device memory, on the host executor: what forward computes, and nothing
// but launches.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "sjd/hosts/llama_cuda.hpp"
#include "sjd/hosts/llama_shapes.hpp"
#include "support/allocation_meter.hpp"
#include "support/catch.hpp"
#include "support/random_checkpoint.hpp"

namespace sjd::test {
namespace {

using hosts::HostBackend;
using hosts::LlamaCudaSize;
using Cuda = hosts::LlamaCuda<HostBackend, float>;

constexpr std::int64_t width = 5;  // rows of one sequence and branch
constexpr std::int64_t sequences = 2;
constexpr std::int64_t branches = 2;
constexpr std::int64_t all_rows = sequences * branches * width;

/// A random model on a machine of its own; `seed` orders its threads.
struct Machine {
  TemporaryDirectory directory;
  HostBackend backend;
  Cuda model;

  explicit Machine(std::uint64_t seed, std::int64_t multiprocessors = 1)
      : backend{{.seed = seed}, multiprocessors},
        model{backend, written(directory), "sjd2.safetensors", {sequences, width}} {
    std::vector<float> logits(2 * 96);
    model.prefill(0, {3, 4}, {logits.data(), 2, 96});
    model.prefill(1, {5}, {logits.data(), 1, 96});
  }

  static const std::filesystem::path& written(const TemporaryDirectory& directory) {
    write_random_model(directory.path(), tiny_shape(), 5);
    return directory.path();
  }
};

/// The rows of one pass, and where its outputs go; host memory is a HostBackend's device memory.
struct Pass {
  std::vector<InputRow> input;    // [sequences, branches, width]
  std::vector<float> embeddings;  // [sequences x width, 64]
  std::vector<float> logits = std::vector<float>(all_rows * 96, 5.0F);
  std::vector<float> hidden = std::vector<float>(all_rows * 64, 5.0F);

  explicit Pass(std::uint32_t seed) : input(all_rows) {
    std::mt19937 engine{seed};
    std::normal_distribution<float> normal;
    for (InputRow& row : input) row = {-1, 7, 3, 11, 9, 1000};
    for (std::int64_t i = 0; i < sequences * width * 64; ++i) embeddings.push_back(normal(engine));
  }

  InputRow& row(std::int64_t sequence, std::int64_t branch, std::int64_t i) {
    return input[static_cast<std::size_t>((sequence * branches + branch) * width + i)];
  }
  /// Live rows from `position` on in all of `own` branches; every third one is noisy.
  void fill(std::int32_t sequence, std::int32_t own, Position position, std::int64_t count) {
    for (std::int32_t branch = 0; branch < own; ++branch) {
      for (std::int64_t i = 0; i < count; ++i) {
        const auto token = static_cast<TokenId>((position * 31 + i * 7 + sequence) % 96);
        row(sequence, branch, i) = {sequence, branch, position + i, token, 0, -1};
        if (i % 3 == 2)
          row(sequence, branch, i) = {sequence, branch, position + i, 0, 2, sequence * width + i};
      }
    }
  }
  [[nodiscard]] std::vector<float> logits_of(std::int64_t index) const {
    return {logits.begin() + index * 96, logits.begin() + (index + 1) * 96};
  }
  void run(Machine& machine) {
    machine.model.enqueue(machine.backend.launcher(),
                          cuda::DevicePass<float>{sequences,
                                                  branches,
                                                  width,
                                                  input.data(),
                                                  embeddings.data(),
                                                  {logits.data(), all_rows, 96},
                                                  hidden.data()});
  }
};

/// The same rows through forward(): logits [live rows, 96] in their order.
std::vector<float> forwarded(Machine& machine, const Pass& pass, std::vector<float>& hidden) {
  std::vector<InputRow> rows;
  std::vector<KeepLength> keep;
  for (const InputRow& row : pass.input) {
    if (row.sequence < 0) continue;
    if (keep.empty() || keep.back().sequence != row.sequence || keep.back().branch != row.branch) {
      keep.push_back({row.sequence, row.branch, row.position});
    }
    rows.push_back(row);
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  std::vector<float> logits(rows.size() * 96);
  hidden.resize(rows.size() * 64);
  machine.model.forward({keep,
                         rows,
                         {pass.embeddings.data(), sequences * width, 64},
                         {logits.data(), count, 96},
                         {hidden.data(), count, 64}});
  return logits;
}

bool same(const float* a, const float* b, std::size_t size) {
  return std::memcmp(a, b, size * sizeof(float)) == 0;
}

bool all_nan(const std::vector<float>& row) {
  for (const float x : row) {
    if (!std::isnan(x)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("a device pass has the bits of forward, whatever else rides in it") {
  Machine one{3};
  Machine other{99};
  std::vector<float> hidden;
  for (const std::int64_t at : {0, 2, 5, 4, 8}) {  // slides, and once back
    Pass pass{static_cast<std::uint32_t>(at)};
    pass.fill(0, 2, at, at == 5 ? 3 : width);
    pass.fill(1, 1, at, width - 1);
    pass.run(one);
    const std::vector<float> expected = forwarded(other, pass, hidden);
    std::size_t live = 0;
    for (std::size_t i = 0; i < pass.input.size(); ++i) {
      CAPTURE(at, i);
      if (pass.input[i].sequence < 0) {
        CHECK(pass.hidden[i * 64] == 5.0F);  // left alone
        CHECK(pass.logits[i * 96] == 0.0F);  // of a row of zeros
        continue;
      }
      CHECK(same(pass.logits.data() + i * 96, expected.data() + live * 96, 96));
      CHECK(same(pass.hidden.data() + i * 64, hidden.data() + live * 64, 64));
      ++live;
    }
  }
}

TEST_CASE("keys that are shared among blocks give the same logits but for rounding") {
  Machine one{3};
  Machine shared{4, 32};
  std::size_t equal = 0;
  std::size_t all = 0;
  for (std::int64_t at = 0; at < 80; at += width) {
    Pass pass{1};
    pass.fill(0, 2, at, width);
    pass.fill(1, 1, at, width);
    Pass again = pass;
    pass.run(one);
    again.run(shared);
    for (std::size_t i = 0; i < pass.logits.size(); ++i) {
      const float error = std::abs(pass.logits[i] - again.logits[i]);
      if (!(error < 1e-4F)) FAIL("a distance of " << error << " at " << at);
      equal += error == 0.0F ? 1 : 0;
      ++all;
    }
  }
  CHECK(equal < all);  // a share is rounded by itself
}

TEST_CASE("absent and bad rows leave every cache as it was") {
  Machine one{5};
  Machine other{6};
  for (Machine* machine : {&one, &other}) {
    Pass pass{2};
    pass.fill(0, 2, 0, width);
    pass.fill(1, 1, 0, width);
    pass.run(*machine);
  }
  Pass junk{3};
  junk.fill(0, 2, 0, width);
  for (std::int64_t i = 0; i < width; ++i) {
    junk.row(0, 0, i).sequence = -1;
    junk.row(0, 1, i).token = 96;  // no such code
    junk.row(0, 1, i).level = 0;
    junk.row(1, 1, i) = {1, 1, i, 4, 0, -1};       // not prefilled
    junk.row(1, 0, i) = {1, 0, 89 + i, 4, 0, -1};  // behind the picture
  }
  junk.run(one);
  for (std::int64_t i = 0; i < all_rows; ++i) {
    CAPTURE(i);
    if (i < width) {
      CHECK(junk.logits_of(i)[0] == 0.0F);
    } else {
      CHECK(all_nan(junk.logits_of(i)));
    }
  }
  Pass after{4};
  after.fill(0, 2, 5, 2);
  after.fill(1, 1, 5, 2);
  Pass expected = after;
  after.run(one);
  expected.run(other);
  CHECK(same(after.logits.data(), expected.logits.data(), after.logits.size()));
}

TEST_CASE("a fed number that is not finite spoils its own row, not those before it") {
  Machine one{7};
  Machine other{8};
  Pass pass{2};
  pass.fill(0, 2, 0, width);
  Pass spoiled = pass;
  spoiled.embeddings[2 * 64 + 63] = std::numeric_limits<float>::infinity();
  pass.run(one);
  spoiled.run(other);
  for (const std::int64_t branch : {0, 1}) {
    const std::int64_t first = branch * width;
    CHECK(spoiled.logits_of(first) == pass.logits_of(first));
    CHECK(spoiled.logits_of(first + 1) == pass.logits_of(first + 1));
    CHECK(all_nan(spoiled.logits_of(first + 2)));
    CHECK_FALSE(all_nan(spoiled.logits_of(first + 3)));
  }
}

namespace {

/// A machine that notes what it is asked for and runs nothing.
struct Recorder {
  struct Launcher {
    int launches = 0;
    template <class Kernel>
    void launch(const cuda::Geometry& geometry, const typename Kernel::Arguments&) {
      launches += geometry.clusters > 0 ? 1 : 0;
    }
  };

  Launcher own{};
  int products = 0;
  int transfers = 0;

  Launcher& launcher() { return own; }
  template <class Number, class Out>
  void product(Launcher&, const hosts::MatrixProduct<Number, Out>&) {
    ++products;
  }
  void* allocate(std::size_t bytes) {
    ++transfers;
    return HostBackend::allocate(bytes);
  }
  void deallocate(void* memory) { HostBackend::deallocate(memory); }
  void clear(void*, std::size_t) { ++transfers; }
  void upload(void*, const void*, std::size_t) { ++transfers; }
  void download(void*, const void*, std::size_t) { ++transfers; }
  std::int64_t multiprocessors() const { return 1; }
};

}  // namespace

TEST_CASE("a device pass is launches and products, no allocation and no transfer") {
  Recorder recorder;
  hosts::LlamaCuda<Recorder, float> model{recorder, tiny_shape(), 1, {sequences, width}};
  Pass pass{1};
  const cuda::DevicePass<float> good{sequences,
                                     branches,
                                     width,
                                     pass.input.data(),
                                     pass.embeddings.data(),
                                     {pass.logits.data(), all_rows, 96}};
  const int transfers = recorder.transfers;
  Recorder::Launcher launcher;
  meter.reset();
  {
    const Counting counting{true};
    model.enqueue(launcher, good);
  }
  CHECK(meter.calls == 0);
  CHECK(recorder.transfers == transfers);
  CHECK(launcher.launches == 2 + 2 * 5 + 1);
  CHECK(recorder.products == 2 * 4 + 1);

  launcher.launches = 0;
  const auto refused = [&](auto change) {
    cuda::DevicePass<float> bad = good;
    change(bad);
    CHECK_THROWS_AS(model.enqueue(launcher, bad), Error);
    CHECK(launcher.launches == 0);
  };
  refused([](auto& bad) { bad.rows = width + 1; });
  refused([](auto& bad) { bad.sequences = 3; });
  refused([](auto& bad) { bad.branches = 3; });
  refused([](auto& bad) { bad.rows = 0; });
  refused([](auto& bad) { bad.logits.columns = 95; });
  refused([](auto& bad) { bad.logits.rows = all_rows - 1; });
}

TEST_CASE("the published shapes have the sizes that they are named for") {
  const auto billions = [](const hosts::LlamaConfig& shape) {
    CHECK(shape.head_dim == 128);
    CHECK(shape.heads % shape.kv_heads == 0);
    return static_cast<double>(hosts::weights_of_pass(shape)) * 1e-9;
  };
  CHECK(std::abs(billions(hosts::janus_pro_1b_shape()) - 1.27) < 0.01);
  CHECK(std::abs(billions(hosts::lumina_mgpt_7b_shape()) - 6.51) < 0.01);
  CHECK(std::abs(billions(hosts::emu3_8b_shape()) - 7.11) < 0.01);
}

TEST_CASE("shapes that no kernel has are refused") {
  HostBackend backend;
  hosts::LlamaConfig odd = tiny_shape();
  odd.head_dim = 96;
  CHECK_THROWS_AS((Cuda{backend, odd, 1, LlamaCudaSize{}}), Error);
  CHECK_THROWS_AS((Cuda{backend, tiny_shape(), 1, LlamaCudaSize{1, 0}}), Error);
  CHECK_THROWS_AS((Cuda{backend, tiny_shape(), 1, LlamaCudaSize{0, 4}}), Error);
}

}  // namespace sjd::test
