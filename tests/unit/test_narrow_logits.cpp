// SPDX-License-Identifier: Apache-2.0
// A host that writes bf16 or half logits decodes as one that writes the same numbers as floats.
#include <bit>
#include <concepts>

#include "sjd/methods.hpp"
#include "sjd/plain_ar.hpp"
#include "sjd/saved_state.hpp"
#include "support/catch.hpp"
#include "support/table_host.hpp"

namespace sjd::test {
namespace {

/// x as a T, cut towards zero; a half number below 2^-14 becomes 0.
template <LogitType T>
T narrowed(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if constexpr (std::same_as<T, Bfloat16>) {
    return {static_cast<std::uint16_t>(bits >> 16U)};
  } else {
    const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
    const std::uint32_t small =
        magnitude < 0x38800000U ? 0U : (magnitude - 0x38000000U) >> 13U & 0x7FFFU;
    return {static_cast<std::uint16_t>((bits >> 16U & 0x8000U) | small)};
  }
}

/// The table host with logits that are numbers of type T, written as Stored.
template <LogitType T, LogitType Stored>
struct RoundedHost {
  using Memory = HostMemory;
  using Prompt = TableHost::Prompt;
  using Logit = Stored;

  TableHost host;
  std::vector<float> wide{};
  bool skips_last_row = false;

  [[nodiscard]] std::int64_t vocab_size() const { return host.vocab_size(); }
  [[nodiscard]] std::int64_t max_sequences() const { return host.max_sequences(); }
  [[nodiscard]] MatrixView<const float> embedding_table() const { return host.embedding_table(); }
  [[nodiscard]] NoiseContract noise_contract() const { return host.noise_contract(); }

  void prefill(std::int32_t sequence, const Prompt& prompt, MatrixView<Stored> logits) {
    host.prefill(sequence, prompt, room_for(logits));
    write(logits, logits.rows);
  }
  void forward(const ForwardPass<HostMemory, Stored>& pass) {
    host.forward({pass.keep_length, pass.rows, pass.embeddings, room_for(pass.logits)});
    write(pass.logits, static_cast<std::int64_t>(pass.rows.size()) - (skips_last_row ? 1 : 0));
  }

 private:
  MatrixView<float> room_for(MatrixView<Stored> logits) {
    wide.resize(static_cast<std::size_t>(logits.rows * logits.columns));
    return {wide.data(), logits.rows, logits.columns};
  }
  void write(MatrixView<Stored> logits, std::int64_t rows) const {
    for (std::int64_t i = 0; i < rows * logits.columns; ++i) {
      const T x = narrowed<T>(wide[static_cast<std::size_t>(i)]);
      if constexpr (std::same_as<Stored, float>) {
        logits.data[i] = widened(x);
      } else {
        logits.data[i] = x;
      }
    }
  }
};

template <template <class> class Decoder, class Host>
std::vector<TokenId> tokens_of(const TableOptions& options, std::vector<float> guidance,
                               std::int64_t top_k) {
  Host host{TableHost{options}};
  Decoder<Host> decoder{host};
  return decoder
      .generate({.prompt = {{3, 4}},
                 .tokens = options.vocab > 100 ? 12 : 40,
                 .seed = 9,
                 .sampling = {.top_k = top_k},
                 .guidance = std::move(guidance)})
      .tokens;
}

template <class Host>
struct NoisyDecoder : SpeculativeJacobiDenoiser<Host, FixedWindow, KarrasSchedule> {
  explicit NoisyDecoder(Host& host)
      : SpeculativeJacobiDenoiser<Host, FixedWindow, KarrasSchedule>{
            host, FixedWindow{.tokens = 6},
            KarrasSchedule{.levels = 2, .grid = 4, .rho_min = 0.5F, .rho_max = 2.0F}} {}
};
template <class Host>
struct CleanDecoder : CoupledSjd<Host> {
  explicit CleanDecoder(Host& host) : CoupledSjd<Host>{host, FixedWindow{.tokens = 5}} {}
};
template <class Host>
struct PlainDecoder : PlainAr<Host> {
  explicit PlainDecoder(Host& host) : PlainAr<Host>{host} {}
};

template <template <class> class Decoder, LogitType T>
void compare(std::int64_t vocab, std::int64_t top_k) {
  const TableOptions options{.vocab = vocab, .dim = 2, .seed = 5, .posterior_mean = true};
  for (const std::vector<float>& guidance : {std::vector<float>{}, {2.5F}, {2.0F, 0.5F}}) {
    CAPTURE(vocab, top_k, guidance);
    CHECK(tokens_of<Decoder, RoundedHost<T, T>>(options, guidance, top_k) ==
          tokens_of<Decoder, RoundedHost<T, float>>(options, guidance, top_k));
  }
}

template <LogitType T>
void compare_all() {
  compare<NoisyDecoder, T>(6, 0);
  compare<CleanDecoder, T>(6, 3);
  compare<CleanDecoder, T>(2500, 300);
  compare<PlainDecoder, T>(6, 0);
}

}  // namespace

TEST_CASE("bf16 and half logits decode as the same numbers in floats") {
  compare_all<Bfloat16>();
  compare_all<Float16>();
}

TEST_CASE("narrow logits that a host leaves unwritten are found, and a cache is restored") {
  RoundedHost<Bfloat16, Bfloat16> host{TableHost{{.vocab = 6, .seed = 5}}};
  PlainAr decoder{host};
  std::vector<DecoderState> states{decoder.start(0, {.tokens = 5})};
  host.skips_last_row = true;
  try {
    decoder.step(states);
    FAIL("a row was left unwritten");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::contract);  // not the NaN that stands there
  }
  host.skips_last_row = false;
  decoder.step(states);
  RoundedHost<Bfloat16, Bfloat16> other{TableHost{{.vocab = 6, .seed = 5}}};
  restore_cache(other, states[0], {});
  PlainAr second{other};
  std::vector<DecoderState> resumed = states;
  decoder.step(states);
  second.step(resumed);
  CHECK(resumed[0].tokens == states[0].tokens);
}

}  // namespace sjd::test
