// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <sjd/hosts/linear.hpp>
#include <sjd/hosts/thread_pool.hpp>
#include <utility>

#include "../statistics.hpp"
#include "linear_peers.hpp"
#include "sections.hpp"

namespace sjd::bench {
namespace {

namespace amx = hosts::detail::amx;

template <class Body>
double best_rate(double units, Body&& body) {
  double best = 0.0;
  for (int round = 0; round < 20; ++round) {
    const double start = clock_seconds(false);
    body();
    best = std::max(best, units / (clock_seconds(false) - start));
  }
  return best;
}

/// Many fma chains that do not wait for one another.
#define SJD_BENCH_FMA(set, target)                                              \
  target void fma_##set(std::int64_t times, float* out) {                       \
    using namespace lanes::set;                                                 \
    constexpr int chains = lanes::set::row_block == 12 ? 20 : 6;                \
    Lanes sum[chains];                                                          \
    for (int i = 0; i < chains; ++i) sum[i] = broadcast(static_cast<float>(i)); \
    const Lanes x = broadcast(out[0]), y = broadcast(out[1]);                   \
    for (std::int64_t t = 0; t < times; ++t) {                                  \
      SJD_UNROLL for (int i = 0; i < chains; ++i) sum[i] = fma(sum[i], x, y);   \
    }                                                                           \
    for (int i = 0; i < chains; ++i) store(out, add(load(out), sum[i]));        \
  }                                                                             \
  constexpr double operations_##set = 32.0 * (lanes::set::row_block == 12 ? 20 : 6);
SJD_BENCH_FMA(scalar, )
#if SJD_X86
SJD_BENCH_FMA(avx2, SJD_AVX2)
SJD_BENCH_FMA(avx512, SJD_AVX512)
#endif
#undef SJD_BENCH_FMA

double fp32_peak() {
  constexpr std::int64_t times = 200'000;
  float out[16] = {0.5F, 0.5F};
  const auto rate = [&](double operations, auto* loop) {
    return best_rate(operations * times, [&] { loop(times, out); });
  };
#if SJD_X86
  if (cpu::supported(lanes::InstructionSet::avx512)) return rate(operations_avx512, fma_avx512);
  if (cpu::supported(lanes::InstructionSet::avx2)) return rate(operations_avx2, fma_avx2);
#endif
  return rate(operations_scalar, fma_scalar);
}

#if SJD_HOST_TILES
double tile_peak() {
  constexpr std::int64_t times = 20'000;
  return best_rate(4.0 * 16384.0 * times, [&] {
    const amx::TileScope scope{16, 16};
    for (std::int64_t t = 0; t < times; ++t) {
      amx::multiply_tiles<0, 4, 6>(), amx::multiply_tiles<1, 4, 7>();
      amx::multiply_tiles<2, 5, 6>(), amx::multiply_tiles<3, 5, 7>();
    }
  });
}
#endif

/// One size with its weights packed both ways, and activations for it.
class Layer {
 public:
  Layer(const LinearShape& shape, hosts::ThreadPool& pool)
      : shape_{shape},
        pool_{pool},
        x_(static_cast<std::size_t>(shape.rows * shape.inputs)),
        weight_(static_cast<std::size_t>(shape.outputs * shape.inputs)),
        y_(static_cast<std::size_t>(shape.rows * shape.outputs)) {
    const auto fill = [](std::vector<float>& values, std::uint32_t seed) {
      for (float& value : values) {
        seed = seed * 1664525U + 1013904223U;
        const float wide = static_cast<float>(seed >> 8U) / 16777216.0F - 0.5F;
        value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(wide) & 0xFFFF0000U);
      }
    };
    fill(x_, 1);
    fill(weight_, 2);
  }

  [[nodiscard]] Contender packed(hosts::Storage storage) {
    const auto linear =
        std::make_shared<hosts::PackedLinear>(weight_, shape_.outputs, shape_.inputs, storage);
    const auto input = std::make_shared<hosts::Activations>(storage, shape_.rows, shape_.inputs);
    const hosts::KernelTable& kernel = hosts::kernels(hosts::best_instruction_set());
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      input->store(kernel, r, 0, x_.data() + r * shape_.inputs, shape_.inputs);
    }
    return {storage == hosts::Storage::fp32 ? "packed fp32" : "packed bf16",
            [this, linear, input, &kernel] {
              const std::int64_t parts = pool_.threads() == 1 ? 1 : 4 * pool_.threads();
              pool_.run(parts, [&](std::int64_t part, int) {
                const std::int64_t first = linear->panels() * part / parts;
                const std::int64_t end = linear->panels() * (part + 1) / parts;
                linear->apply(kernel, *input,
                              {0, shape_.rows, first, end - first,
                               y_.data() + first * cpu::panel_width, shape_.outputs});
              });
            },
            shape_.operations()};
  }

  /// Reads as many bytes as the packed weights have.
  [[nodiscard]] Contender reader(double bytes_a_weight) const {
    const auto count = static_cast<std::size_t>(static_cast<double>(weight_.size()) *
                                                bytes_a_weight / sizeof(float));
    return {"reading",
            [this, count] {
              pool_.run(pool_.threads(), [&](std::int64_t part, int) {
                const auto threads = static_cast<std::size_t>(pool_.threads());
                const auto begin = count * static_cast<std::size_t>(part) / threads / 64 * 64;
                const auto end = count * (static_cast<std::size_t>(part) + 1) / threads;
                float sums[64] = {};
                for (std::size_t i = begin; i + 64 <= end; i += 64) {
                  for (std::size_t j = 0; j < 64; ++j) sums[j] += weight_[i + j];
                }
                keep(sums);
              });
            },
            1.0};
  }

  [[nodiscard]] std::vector<Contender> peers() {
    return linear_peers(shape_, x_, weight_, y_, pool_.threads());
  }

 private:
  LinearShape shape_;
  hosts::ThreadPool& pool_;
  std::vector<float> x_;       // [rows, inputs]
  std::vector<float> weight_;  // [outputs, inputs], bf16 numbers
  std::vector<float> y_;       // [rows, outputs]
};

void measure_shape(Report& report, const LinearShape& shape, const Peak& peak,
                   hosts::ThreadPool& pool, double seconds) {
  Layer layer{shape, pool};
  std::vector<Contender> contenders{layer.packed(hosts::Storage::fp32),
                                    layer.packed(hosts::Storage::bf16), layer.reader(4.0),
                                    layer.reader(2.0)};
  for (Contender& peer : layer.peers()) contenders.push_back(std::move(peer));
  const std::vector<Samples> samples = interleave(contenders, seconds, pool.threads());
  const std::string name =
      fmt::format("M={:<3} K={} N={}", shape.rows, shape.inputs, shape.outputs);
  for (const std::size_t i : {0U, 1U}) {
    const double compute = (i == 0 ? peak.fp32 : peak.bf16) * static_cast<double>(pool.threads());
    const double roof = std::max(1.0 / compute, median(samples[i + 2]) / shape.operations());
    Samples reached;
    for (const double sample : samples[i]) reached.push_back(roof / sample);
    const bool memory = roof > 1.0 / compute;
    report.add(fmt::format("{} {}: of the roofline ({})", name, contenders[i].name,
                           memory ? "reading" : "peak"),
               "x", reached, 1.0, at_least(0.9));
  }
  for (std::size_t i = 4; i < contenders.size(); ++i) {
    const bool narrow = contenders[i].name.ends_with("bf16");
    const bool asked =
        contenders[i].name.starts_with("Eigen") && shape.rows >= 2 && shape.rows <= 16;
    report.add(
        fmt::format("{} packed {} over {}", name, narrow ? "bf16" : "fp32", contenders[i].name),
        "x", ratios(samples[i], samples[narrow ? 1 : 0]), 1.0, asked ? at_least(3.0) : Target{});
  }
}

}  // namespace

Peak measure_peak() {
  Peak peak;
  peak.fp32 = fp32_peak();
  peak.bf16 = peak.fp32;
#if SJD_HOST_TILES
  if (amx::supported()) peak.bf16 = tile_peak();
#endif
  return peak;
}

void measure_linear(Report& report, double seconds, int threads) {
  report.section("C3 packed linear layers",
                 fmt::format("y = x W^T, {} thread{}, {}", threads, threads == 1 ? "" : "s",
                             linear_peer_names()));
  const Peak peak = measure_peak();
  report.note(
      fmt::format("peak of a core: fp32 {:.0f}, bf16 {:.0f} GFLOP/s; the roofline is the "
                  "slower of that and of reading the weights once",
                  peak.fp32 / 1e9, peak.bf16 / 1e9));
  hosts::ThreadPool pool{threads};
  constexpr std::pair<std::int64_t, std::int64_t> sizes[] = {
      {512, 512}, {512, 2048}, {2048, 2048}, {2048, 8192}, {8192, 2048}};
  for (const auto& [inputs, outputs] : sizes) {
    for (const std::int64_t rows : {1, 2, 8, 16, 64, 192}) {
      measure_shape(report, {rows, inputs, outputs}, peak, pool, seconds / 4);
    }
  }
}

}  // namespace sjd::bench
