// SPDX-License-Identifier: Apache-2.0
// The smallest project that uses the library.
#include <cstdio>
#include <sjd/sjd.hpp>

struct Coin {
  using Memory = sjd::HostMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, int, sjd::MatrixView<float> logits) {
    logits.row(0)[0] = 0.0F;
    logits.row(0)[1] = 1.0F;
  }
  void forward(const sjd::ForwardPass<>& pass) {
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(pass.rows.size()); ++i) {
      pass.logits.row(i)[0] = 0.0F;
      pass.logits.row(i)[1] = 1.0F;
    }
  }
};

int main() {
  Coin coin;
  sjd::SpeculativeJacobiDenoiser denoiser{coin};
  const auto picture = denoiser.generate({.tokens = 32});
  std::printf("decoded %zu tokens with sjd %s\n", picture.tokens.size(), SJD_VERSION);
}
