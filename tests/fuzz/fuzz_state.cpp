// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <cstring>

#include "fuzz_target.hpp"
#include "sjd/denoiser.hpp"
#include "sjd/saved_state.hpp"
#include "support/table_host.hpp"

namespace sjd::fuzz {
namespace {

/// A small decode with noise, guidance and a window. One for all inputs, as a program has one for
/// all pictures; a load begins with the prompt again.
struct Decode {
  test::TableHost host{{.vocab = 5, .dim = 2, .seed = 19, .posterior_mean = true}};
  SpeculativeJacobiDenoiser<test::TableHost, FixedWindow, KarrasSchedule> decoder{
      host, FixedWindow{.tokens = 4},
      KarrasSchedule{.levels = 2, .grid = 4, .rho_min = 0.5F, .rho_max = 2.0F}};
  GenerationRequest<test::TablePrompt> request{.tokens = 10, .seed = 6, .guidance = {2.0F}};
};

/// What loads must decode to its end.
void load_and_finish(std::span<const std::byte> bytes) {
  static Decode decode;
  DecoderState state = load_state(decode.decoder, bytes, "m", decode.request);
  restore_cache(decode.host, state, decode.request.prompt);
  while (!state.finished()) decode.decoder.step({&state, 1});
  if (state.committed() != decode.request.tokens) std::abort();
}

}  // namespace

void read_state(std::span<const std::uint8_t> bytes) {
  load_and_finish(std::as_bytes(bytes));
}

void seal_state(std::span<std::uint8_t> bytes) {
  if (bytes.size() < detail::state_header) return;
  const std::span<const std::byte> payload = std::as_bytes(bytes).subspan(detail::state_header);
  detail::ByteWriter header;
  for (const char c : detail::state_magic) header.number(c);
  header.number(detail::state_version);
  header.number(std::uint32_t{0});
  header.number(static_cast<std::uint64_t>(payload.size()));
  header.number(detail::fnv64(payload));
  std::memcpy(bytes.data(), header.bytes().data(), detail::state_header);
}

}  // namespace sjd::fuzz
