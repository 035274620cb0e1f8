// SPDX-License-Identifier: Apache-2.0
// A table model decoded three ways: one token a pass, Jacobi with fresh drafts, Jacobi with coupled
// drafts.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sjd/sjd.hpp>
#include <span>

// [begin]
// A first-order Markov chain over 8 colours: the next colour is near the last one.
struct TableModel {
  using Memory = sjd::HostMemory;
  using Prompt = int;  // the first colour

  std::int64_t vocab_size() const { return 8; }
  std::int64_t max_sequences() const { return 1; }

  void prefill(std::int32_t, const Prompt& colour, sjd::MatrixView<float> logits) {
    write_logits(colour, logits.row(0));
  }
  void forward(const sjd::ForwardPass<>& pass) {
    for (std::size_t i = 0; i < pass.rows.size(); ++i) {
      write_logits(pass.rows[i].token, pass.logits.row(static_cast<std::int64_t>(i)));
    }
  }

 private:
  static void write_logits(int last, std::span<float> logits) {
    for (int v = 0; v < 8; ++v) {
      logits[static_cast<std::size_t>(v)] = -0.7F * static_cast<float>(std::abs(v - last));
    }
  }
};

template <class Decoder>
void show(const char* name, Decoder decoder) {
  const auto picture = decoder.generate({.prompt = 3, .tokens = 256, .seed = 7});
  std::printf("%-12s %zu tokens in %lld forward passes, %.2f a pass\n", name, picture.tokens.size(),
              static_cast<long long>(picture.statistics.forward_passes), picture.tokens_per_pass());
}

int main() {
  TableModel model;
  const sjd::FixedWindow window{.tokens = 16};
  show("plain AR", sjd::PlainAr{model});
  show("SJD", sjd::SpeculativeJacobiDenoiser{model, window, sjd::FreshRedraw{}});
  show("coupled SJD", sjd::SpeculativeJacobiDenoiser{model, window});
}
// [end]
