// SPDX-License-Identifier: Apache-2.0
// Two policies of our own: a window that grows with the picture, and drafts that settle with age.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sjd/sjd.hpp>
#include <span>

// [begin]
// Few drafts at first, one more for every `tokens_per_row` committed tokens. A window may look at
// counts only, so every window is exact.
struct GrowingWindow {
  using role = sjd::role::window;

  std::int64_t smallest = 4;
  std::int64_t largest = 24;
  std::int64_t tokens_per_row = 8;

  std::int64_t rows(std::int64_t committed, std::int64_t total) const {
    const std::int64_t wanted = smallest + committed / tokens_per_row;
    return std::min({wanted, largest, total - committed});
  }
  std::int64_t capacity() const { return largest; }
};

// Couples a young draft to every new law and leaves an old one alone. Its token and its law stay as
// they are, and age is no secret of the token, so `law` remains the true law of `token`: exact.
struct SettlingDrafts {
  using role = sjd::role::refinement;
  static constexpr bool tracks_true_law = true;

  std::int32_t settled_at = 6;  // passes

  template <sjd::RandomGate Gate>
  void refresh(Gate& gate, sjd::DrawKey key, sjd::Slot& slot, const sjd::TokenLaw& target) const {
    if (slot.has_token() && slot.age > settled_at) return;
    sjd::MaximalCoupling{}.refresh(gate, key, slot, target);
  }
};
// [end]

// The next colour of eight is near the last one, and likelier the same after an even one.
struct Colours {
  using Memory = sjd::HostMemory;
  using Prompt = int;

  std::int64_t vocab_size() const { return 8; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, int first, sjd::MatrixView<float> logits) {
    write(first, logits.row(0));
  }
  void forward(const sjd::ForwardPass<>& pass) {
    for (std::size_t i = 0; i < pass.rows.size(); ++i) {
      write(pass.rows[i].token, pass.logits.row(static_cast<std::int64_t>(i)));
    }
  }
  static void write(int last, std::span<float> logits) {
    for (int v = 0; v < 8; ++v) {
      const float distance = static_cast<float>(std::abs(v - last));
      logits[static_cast<std::size_t>(v)] = last % 2 == 0 ? -1.5F * distance : -0.5F * distance;
    }
  }
};

int main() {
  Colours colours;
  sjd::SpeculativeJacobiDenoiser decoder{colours, SettlingDrafts{.settled_at = 3},
                                         GrowingWindow{.largest = 16}};
  const auto picture = decoder.generate({.prompt = 2, .tokens = 512, .seed = 11});
  std::printf("%zu tokens in %lld forward passes, %.2f a pass, %s\n", picture.tokens.size(),
              static_cast<long long>(picture.statistics.forward_passes), picture.tokens_per_pass(),
              decltype(decoder)::is_lossless ? "lossless" : "lossy");
  return 0;
}
