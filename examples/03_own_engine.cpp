// SPDX-License-Identifier: Apache-2.0
// An engine of our own: it hears noise, keeps a KV cache, runs a batch, and knows guidance.
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <sjd/sjd.hpp>
#include <span>
#include <vector>

// [begin]
// A linear recurrence stands for the network: the state behind a row is the decayed sum of all
// embeddings fed up to it. The cache holds one state a position, for every sequence and branch.
class EchoEngine {
 public:
  using Memory = sjd::HostMemory;
  using Prompt = float;  // where the recurrence starts; the unconditional branch starts at 0
  static constexpr std::int64_t vocab = 16, batch = 4;

  std::int64_t vocab_size() const { return vocab; }
  std::int64_t max_sequences() const { return batch; }
  sjd::MatrixView<const float> embedding_table() const { return {table_.data(), vocab, 1}; }
  sjd::NoiseContract noise_contract() const {
    return {
        .grid = 12, .rho_min = 2.0F, .rho_max = 16.0F, .posterior_mean = true, .per_channel = true};
  }

  void prefill(std::int32_t sequence, Prompt prompt, sjd::MatrixView<float> logits) {
    cache_[static_cast<std::size_t>(sequence)].assign(static_cast<std::size_t>(logits.rows), {});
    for (std::int32_t b = 0; b < logits.rows; ++b) {
      cache(sequence, b).push_back(b == 0 ? prompt : 0.0F);
      predict(cache(sequence, b).back(), logits.row(b));
    }
  }

  void forward(const sjd::ForwardPass<>& pass) {
    for (const sjd::KeepLength& keep :
         pass.keep_length) {  // forget first: one state is the prompt's
      cache(keep.sequence, keep.branch).resize(static_cast<std::size_t>(keep.length) + 1);
    }
    for (std::size_t i = 0; i < pass.rows.size(); ++i) {
      const sjd::InputRow& row = pass.rows[i];
      const float fed = row.level == 0 ? table_[static_cast<std::size_t>(row.token)]
                                       : pass.embeddings.row(row.embedding)[0];
      std::vector<float>& states = cache(row.sequence, row.branch);
      states.push_back(std::fma(0.75F, states.back(), fed));
      predict(states.back(), pass.logits.row(static_cast<std::int64_t>(i)));
    }
  }

 private:
  std::vector<float>& cache(std::int32_t sequence, std::int32_t branch) {
    return cache_[static_cast<std::size_t>(sequence)][static_cast<std::size_t>(branch)];
  }
  void predict(float state, std::span<float> logits) const {
    for (std::size_t v = 0; v < logits.size(); ++v) {
      logits[v] = -std::fabs(0.25F * state - table_[v]);
    }
  }

  std::array<std::vector<std::vector<float>>, batch> cache_;  // [sequence][branch][1 + position]
  std::vector<float> table_ = [] {
    std::vector<float> table(vocab);
    for (std::size_t v = 0; v < vocab; ++v) table[v] = 0.5F * static_cast<float>(v) - 3.75F;
    return table;
  }();
};
// [end]

static_assert(sjd::NoisyModel<EchoEngine>);

int main() {
  EchoEngine engine;
  std::vector<sjd::GenerationRequest<float>> requests;
  for (std::uint64_t i = 0; i < 6; ++i) {
    requests.push_back({.prompt = 8.0F, .tokens = 200, .seed = 5, .sample = i, .guidance = {2.0F}});
  }
  // Shared Gumbel noise: SJD2 must give the very tokens of plain autoregressive decoding.
  sjd::PlainAr plain{engine, sjd::GumbelEquality{}};
  sjd::SpeculativeJacobiDenoiser fast{engine, sjd::GumbelEquality{}, sjd::GumbelCoupling{}};
  const auto expected = plain.generate(requests);
  const auto pictures = fast.generate(requests);
  bool equal = true;
  double tau = 0.0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    equal = equal && pictures[i].tokens == expected[i].tokens;
    tau += pictures[i].tokens_per_pass() / static_cast<double>(requests.size());
  }
  std::printf("%zu pictures, %.2f tokens a pass, %s plain AR\n", pictures.size(), tau,
              equal ? "equal to" : "DIFFERENT from");
  return equal ? 0 : 1;
}
