// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sjd/hosts/linear.hpp>
#include <sjd/hosts/thread_pool.hpp>
#include <sjd/methods.hpp>
#include <thread>

#include "../statistics.hpp"
#include "png.hpp"
#include "sections.hpp"
#include "svg_chart.hpp"

namespace sjd::bench {
namespace {

/// A model that hands out rows of logits which it has drawn beforehand: a little of each law
/// depends on the token in front, so that some drafts are rejected.
class LogitsHost {
 public:
  using Memory = HostMemory;
  struct Prompt {};

  LogitsHost(std::int64_t vocab, std::int32_t sequences)
      : vocab_{vocab}, sequences_{sequences}, rows_{random_logits("bell", 5, variants, vocab)} {
    for (std::int64_t r = 1; r < variants; ++r) {
      for (std::int64_t v = 0; v < vocab; ++v) {
        float& logit = rows_[static_cast<std::size_t>(r * vocab + v)];
        logit = 3.5F * rows_[static_cast<std::size_t>(v)] + 0.6F * logit;
      }
    }
  }

  [[nodiscard]] std::int64_t vocab_size() const { return vocab_; }
  [[nodiscard]] std::int32_t max_sequences() const { return sequences_; }

  void prefill(std::int32_t, const Prompt&, MatrixView<float> logits) {
    for (std::int64_t r = 0; r < logits.rows; ++r) write(0, logits.row(r));
  }
  void forward(const ForwardPass<>& pass) {
    for (std::size_t r = 0; r < pass.rows.size(); ++r) {
      const InputRow& row = pass.rows[r];
      write(row.token + 3 * row.position, pass.logits.row(static_cast<std::int64_t>(r)));
    }
  }

 private:
  static constexpr std::int64_t variants = 16;

  void write(std::int64_t which, std::span<float> row) const {
    const std::int64_t from = 1 + which % (variants - 1);
    std::copy_n(rows_.data() + from * vocab_, vocab_, row.data());
  }

  std::int64_t vocab_;
  std::int32_t sequences_;
  std::vector<float> rows_;  // [variants, vocab]
};

/// One point of a plot.
struct Setting {
  std::int64_t vocab = 8192;
  std::int64_t window = 16;
  std::int32_t batch = 1;
  std::int64_t tokens = 1024;
  std::int64_t top_k = 2000;
};

using Decoder = CoupledSjd<LogitsHost>;

template <class D>
std::vector<DecoderState> start_all(D& decoder, const Setting& setting) {
  std::vector<DecoderState> states;
  for (std::int32_t s = 0; s < setting.batch; ++s) {
    states.push_back(decoder.start(s, {.tokens = setting.tokens,
                                       .seed = static_cast<std::uint64_t>(s),
                                       .sampling = {.top_k = setting.top_k}}));
  }
  return states;
}

/// Median microseconds that a pass spends in the library for each sequence.
double library_cost(const Setting& setting, double seconds) {
  LogitsHost host{setting.vocab, setting.batch};
  Decoder decoder{host, FixedWindow{.tokens = setting.window}};
  Samples samples;
  const Stopwatch clock;
  while (samples.size() < 10 || clock.seconds() < seconds) {
    std::vector<DecoderState> states = start_all(decoder, setting);
    for (int pass = 0; pass < 200 && !states.front().finished(); ++pass) {
      const double before = decoder.host_seconds();
      const Stopwatch watch;
      static_cast<void>(decoder.step(states));
      const double all = watch.seconds();
      samples.push_back(1e6 * (all - (decoder.host_seconds() - before)) /
                        static_cast<double>(setting.batch));
      if (clock.seconds() > seconds && samples.size() >= 10) break;
    }
  }
  return median(samples);
}

/// Bytes that the C library has handed out.
double live_bytes() {
  const auto info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

/// Uniform tokens, and a look at the memory when a slot enters: the last thing that a pass does to
/// a sequence, when its next window is whole and the present one is still there.
struct MeteredTokens {
  using role = role::initialization;

  double* most = nullptr;

  template <class Gate>
  void enter(Gate& gate, DrawKey key, TokenId left, std::int64_t vocab, Slot& slot) const {
    UniformTokens{}.enter(gate, key, left, vocab, slot);
    *most = std::max(*most, live_bytes());
  }
};

/// Bytes that running sequences keep alive in decoder and states, without the logits that the model
/// writes.
struct Memory {
  double between = 0.0;  ///< two passes
  double within = 0.0;   ///< a pass, at the most
};

Memory memory_of(Setting setting, std::int32_t batch) {
  setting.batch = batch;
  LogitsHost host{setting.vocab, 8};
  const double before =
      live_bytes() + 4.0 * static_cast<double>(batch * setting.window * setting.vocab);
  Memory most;
  SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = setting.window},
                                    MeteredTokens{&most.within}};
  std::vector<DecoderState> states = start_all(decoder, setting);
  most = {};
  for (int pass = 0; pass < 12; ++pass) {
    static_cast<void>(decoder.step(states));
    most.between = std::max(most.between, live_bytes());
  }
  return {most.between - before, std::max(most.between, most.within) - before};
}

/// GFLOP/s of a packed layer, M = 64, K = N = 2048.
double linear_rate(int threads, hosts::Storage storage, double seconds) {
  constexpr std::int64_t rows = 64, size = 2048;
  const std::vector<float> weight(size * size, 0.5F), x(rows * size, 1.0F);
  std::vector<float> y(rows * size);
  const hosts::PackedLinear linear{weight, size, size, storage};
  const hosts::Activations input{storage, rows, size};
  const hosts::KernelTable& kernel = hosts::kernels(hosts::best_instruction_set());
  for (std::int64_t r = 0; r < rows; ++r) input.store(kernel, r, 0, x.data() + r * size, size);
  hosts::ThreadPool pool{threads};
  const auto work = [&] {
    const std::int64_t parts = 4 * threads;
    pool.run(parts, [&](std::int64_t part, int) {
      const std::int64_t first = linear.panels() * part / parts;
      const std::int64_t end = linear.panels() * (part + 1) / parts;
      linear.apply(kernel, input,
                   {0, rows, first, end - first, y.data() + first * cpu::panel_width, size});
    });
  };
  return 1e-9 / median(interleave({{"", work, 2.0 * rows * size * size}}, seconds, threads)[0]);
}

/// One chart of the cost in the library; `vary` puts x into a setting.
template <class Vary>
Chart cost_chart(const std::string& title, const std::string& x_title, std::vector<double> x,
                 double seconds, Vary&& vary) {
  Chart chart{title, x_title, "us in the library, a pass and sequence", std::move(x), {}};
  for (const std::int64_t top_k : {std::int64_t{2000}, std::int64_t{0}}) {
    Curve curve{top_k > 0 ? fmt::format("top-k {}", top_k) : "no filter", {}};
    for (const double value : chart.x) {
      Setting setting;
      setting.top_k = top_k;
      vary(setting, static_cast<std::int64_t>(value));
      curve.y.push_back(library_cost(setting, seconds / 4));
    }
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

void write_chart(const std::string& directory, const std::string& name, const Chart& chart) {
  const std::string svg = svg_of(chart);
  const std::string file = directory + "/" + name + ".svg";
  paint::write_file(file, svg);
  fmt::print("{}\n", file);
  for (const Curve& curve : chart.curves) {
    fmt::print("  {:<12}", curve.name);
    for (std::size_t i = 0; i < chart.x.size(); ++i) {
      fmt::print(" {:g}: {:.4g}", chart.x[i], curve.y[i]);
    }
    fmt::print("\n");
  }
  std::fflush(stdout);
}

void print_memory() {
  const Setting widest{.vocab = 65536, .window = 96};
  const Memory one = memory_of(widest, 1), three = memory_of(widest, 3);
  const auto each = [](double few, double many) { return (many - few) / 2.0 / 1048576.0; };
  const double between = each(one.between, three.between);
  fmt::print(
      "\nmemory that one more sequence needs at V=65536, W=96, top-k 2000, without logits and "
      "window embeddings: {:.2f} MiB, target <= 2, {}; {:.2f} MiB at the height of a pass\n",
      between, between <= 2.0 ? "met" : "MISSED", each(one.within, three.within));
}

}  // namespace

void plot_scaling(const std::string& directory, double seconds) {
  std::filesystem::create_directories(directory);
  write_chart(directory, "vocabulary",
              cost_chart("W = 16, one sequence", "V, tokens of the image vocabulary",
                         {1024, 2048, 4096, 8192, 16384, 32768, 65536}, seconds,
                         [](Setting& s, std::int64_t x) { s.vocab = x; }));
  write_chart(directory, "window",
              cost_chart("V = 8192, one sequence", "W, rows a pass", {1, 2, 4, 8, 16, 32, 64, 96},
                         seconds, [](Setting& s, std::int64_t x) { s.window = x; }));
  write_chart(directory, "batch",
              cost_chart("V = 8192, W = 16", "sequences a pass", {1, 2, 4, 8, 16}, seconds,
                         [](Setting& s, std::int64_t x) { s.batch = static_cast<int>(x); }));
  write_chart(directory, "picture",
              cost_chart("V = 8192, W = 16", "tokens of a picture", {64, 256, 1024, 4096}, seconds,
                         [](Setting& s, std::int64_t x) { s.tokens = x; }));
  Chart threads{"packed linear layer, M = 64, K = N = 2048", "threads", "GFLOP/s", {}, {}};
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  for (int t = 1; t <= cores; t *= 2) threads.x.push_back(t);
  for (const hosts::Storage storage : {hosts::Storage::fp32, hosts::Storage::bf16}) {
    Curve curve{storage == hosts::Storage::fp32 ? "fp32" : "bf16", {}};
    for (const double t : threads.x) {
      curve.y.push_back(linear_rate(static_cast<int>(t), storage, seconds / 4));
    }
    threads.curves.push_back(std::move(curve));
  }
  write_chart(directory, "threads", threads);
  print_memory();
}

}  // namespace sjd::bench
