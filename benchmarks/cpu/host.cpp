// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <sjd/hosts/llama.hpp>
#include <sjd/methods.hpp>
#include <sjd/plain_ar.hpp>
#include <stdexcept>

#include "../statistics.hpp"
#include "linear_peers.hpp"
#include "random_checkpoint.hpp"
#include "sections.hpp"

namespace sjd::bench {
namespace {

using hosts::LlamaHost;

const HostShape shapes[] = {
    {.name = "50m", .hidden = 512, .inner = 1408, .layers = 15, .heads = 8},
    {.name = "100m", .hidden = 768, .inner = 2048, .layers = 13, .heads = 12}};

/// A folder that goes with its contents.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "sjd-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"cannot make " + name};
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

LlamaHost load(const HostShape& shape, int threads, std::int64_t sequences) {
  const TemporaryFolder folder;
  write_random_checkpoint(folder.path(), shape);
  return LlamaHost::load(folder.path(), "base.safetensors",
                         {.max_sequences = sequences, .threads = threads});
}

/// One pass over and over from the same state, and what share of it the library takes.
template <class Decoder>
class Pass {
 public:
  Pass(Decoder& decoder, std::int32_t sequence) : decoder_{&decoder} {
    begun_ = decoder.start(sequence, {.prompt = {3, 4, 5},
                                      .tokens = 256,
                                      .seed = 7,
                                      .sampling = {.top_k = 2000},
                                      .guidance = {3.0F}});
    while (begun_.committed() < 100) static_cast<void>(decoder.step({&begun_, 1}));
  }

  void operator()() {
    DecoderState state = begun_;
    const double before = decoder_->host_seconds();
    const Stopwatch watch;
    static_cast<void>(decoder_->step({&state, 1}));
    const double all = watch.seconds();
    shares_.push_back(1.0 - (decoder_->host_seconds() - before) / all);
  }

  [[nodiscard]] const Samples& shares() const { return shares_; }

 private:
  Decoder* decoder_;
  DecoderState begun_;
  Samples shares_;
};

/// Reads as many bytes as the weights have, on as many threads.
Contender reader(const std::vector<float>& numbers, hosts::ThreadPool& pool) {
  return {"reading",
          [&numbers, &pool] {
            pool.run(pool.threads(), [&](std::int64_t part, int) {
              const auto threads = static_cast<std::size_t>(pool.threads());
              const auto begin = numbers.size() * static_cast<std::size_t>(part) / threads;
              const auto end = numbers.size() * (static_cast<std::size_t>(part) + 1) / threads;
              std::array<float, 64> sums{};
              for (std::size_t i = begin; i + 64 <= end; i += 64) {
                for (std::size_t j = 0; j < 64; ++j) sums[j] += numbers[i + j];
              }
              keep(sums);
            });
          },
          1.0};
}

constexpr std::array<std::int64_t, 3> widths{4, 8, 16};

void measure_shape(Report& report, const HostShape& shape, const Peak& peak, double seconds,
                   int threads) {
  LlamaHost host = load(shape, threads, 1 + std::ssize(widths));
  hosts::ThreadPool pool{threads};
  const std::vector<float> numbers(static_cast<std::size_t>(shape.weights() / 2), 1.0F);
  PlainAr plain{host};
  Pass<decltype(plain)> plain_pass{plain, 0};
  using Window = CoupledSjd<LlamaHost>;
  std::vector<std::unique_ptr<Window>> decoders;
  std::vector<Pass<Window>> passes;
  for (const std::int64_t width : widths) {
    decoders.push_back(std::make_unique<Window>(host, FixedWindow{.tokens = width}));
    passes.emplace_back(*decoders.back(), static_cast<std::int32_t>(decoders.size()));
  }
  std::vector<Contender> contenders{reader(numbers, pool), {"", [&] { plain_pass(); }, 1.0}};
  for (Pass<Window>& pass : passes) contenders.push_back({"", [&] { pass(); }, 1.0});
  const std::vector<Samples> samples = interleave(contenders, seconds, threads);
  const auto roof = [&](std::int64_t width) {
    const double operations = 2.0 * 2.0 * static_cast<double>(width * shape.weights());
    return std::max(median(samples[0]), operations / (peak.bf16 * threads));
  };
  const std::string name =
      fmt::format("{} weights, {} thread{}", shape.name, threads, threads == 1 ? "" : "s");
  report.add(fmt::format("{}: reading them (roofline)", name), "ms", samples[0], 1e3);
  report.add(fmt::format("{}: a pass of plain AR", name), "ms", samples[1], 1e3);
  report.note(fmt::format("  {:.2f} of the roofline", roof(1) / median(samples[1])));
  report.add(fmt::format("{}: library, plain AR", name), "%", plain_pass.shares(), 100.0,
             at_most(1.0));
  for (std::size_t w = 0; w < widths.size(); ++w) {
    const double most = widths[w] == 4 ? 1.05 : 1.35;
    report.add(fmt::format("{}: W={} over plain AR", name, widths[w]), "x",
               ratios(samples[2 + w], samples[1]), 1.0, widths[w] <= 8 ? at_most(most) : Target{});
    report.note(fmt::format("  {:.2f} of the roofline", roof(widths[w]) / median(samples[2 + w])));
    report.add(fmt::format("{}: library, W={}", name, widths[w]), "%", passes[w].shares(), 100.0,
               at_most(1.0));
  }
}

}  // namespace

void measure_host(Report& report, double seconds, int threads) {
  report.section("C4 reference host",
                 "random weights in bf16, V=8192, top-k 2000, guidance of two branches, position "
                 "100; a window pass beside one of plain AR");
  const Peak peak = measure_peak();
  for (const HostShape& shape : shapes) measure_shape(report, shape, peak, 2.0 * seconds, threads);
}

}  // namespace sjd::bench
