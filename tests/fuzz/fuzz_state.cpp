// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <vector>

#include "fuzz_target.hpp"
#include "sjd/denoiser.hpp"
#include "sjd/saved_state.hpp"
#include "support/table_host.hpp"

namespace sjd::fuzz {
namespace {

using Bytes = std::vector<std::byte>;

/// A small decode with noise, guidance and a window.
struct Decode {
  test::TableHost host{{.vocab = 5, .dim = 2, .seed = 19, .posterior_mean = true}};
  SpeculativeJacobiDenoiser<test::TableHost, FixedWindow, KarrasSchedule> decoder{
      host, FixedWindow{.tokens = 4},
      KarrasSchedule{.levels = 2, .grid = 4, .rho_min = 0.5F, .rho_max = 2.0F}};
  GenerationRequest<test::TablePrompt> request{.tokens = 10, .seed = 6, .guidance = {2.0F}};
};

/// What loads must decode to its end.
void load_and_finish(std::span<const std::byte> bytes) {
  Decode decode;
  DecoderState state = load_state(decode.decoder, bytes, "m", decode.request);
  restore_cache(decode.host, state, decode.request.prompt);
  while (!state.finished()) decode.decoder.step({&state, 1});
  if (state.committed() != decode.request.tokens) std::abort();
}

}  // namespace

void read_state(std::span<const std::uint8_t> bytes) {
  const std::span<const std::byte> raw = std::as_bytes(bytes);
  try {
    load_and_finish(raw);
  } catch (const Error&) {
    // Most inputs end here, at the checksum; the same again behind a right one.
  }
  if (raw.size() < 32) return;
  detail::ByteWriter sealed;
  for (const char c : detail::state_magic) sealed.number(c);
  sealed.number(detail::state_version);
  sealed.number(std::uint32_t{0});
  sealed.number(static_cast<std::uint64_t>(raw.size() - 32));
  sealed.number(detail::fnv64(raw.subspan(32)));
  sealed.append(raw.subspan(32));
  load_and_finish(sealed.bytes());
}

}  // namespace sjd::fuzz
