// SPDX-License-Identifier: Apache-2.0
// Three shapes of engine behind one concept: they decode the tokens of the plain table host.
#include <unistd.h>

#include <cerrno>

#include "support/compositions.hpp"
#include "support/mock_device.hpp"
#include "support/mock_libtorch.hpp"
#include "support/mock_llama_cpp.hpp"

namespace sjd::test {
namespace {

static_assert(NoisyModel<LlamaCppHost> && NoisyModel<LibTorchHost> && NoisyModel<DeviceHost>);
static_assert(std::is_same_v<DeviceHost::Memory, DeviceMemory>);

template <class Host, class C>
std::vector<std::vector<TokenId>> decode(const C& c, std::int64_t window) {
  Host host{options_for(c, {.vocab = 6, .dim = 2, .seed = 31, .sequences = 4})};
  return c.with(host, window, [&](auto& decoder) {
    std::vector<std::vector<TokenId>> tokens;
    for (const GenerationResult& r : decoder.generate(mixed_requests(9))) {
      tokens.push_back(r.tokens);
    }
    return tokens;
  });
}

template <class Host>
void check_host() {
  for_each_composition([](const auto& c) {
    INFO(c.name);
    for (const std::int64_t window : {1, 7}) {
      CHECK(decode<Host>(c, window) == decode<TableHost>(c, window));
    }
  });
  TableHost table{{.vocab = 6, .seed = 31, .sequences = 4}};
  Host host{{.vocab = 6, .seed = 31, .sequences = 4}};
  const auto requests = mixed_requests(9);
  const auto expected = PlainAr{table}.generate(requests);
  const auto found = PlainAr{host}.generate(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) CHECK(found[i].tokens == expected[i].tokens);
}

}  // namespace

TEST_CASE("an engine shaped like llama.cpp decodes the same tokens") {
  check_host<LlamaCppHost>();
}
TEST_CASE("an engine shaped like LibTorch decodes the same tokens") {
  check_host<LibTorchHost>();
}
TEST_CASE("an engine in device memory decodes the same tokens") {
  check_host<DeviceHost>();
}

TEST_CASE("llama.cpp: streams are padded, and a failed truncation changes nothing") {
  LlamaCppHost host{{.vocab = 6, .dim = 2, .seed = 31, .sequences = 2, .posterior_mean = true}};
  SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = 6}, table_schedule()};
  std::vector<DecoderState> states{decoder.start(0, {.tokens = 40, .guidance = {2.0F}}),
                                   decoder.start(1, {.tokens = 4})};
  std::vector<DecoderState> expected = states;
  decoder.step(expected);
  CHECK(host.padded_rows > 0);
  for (std::int64_t good = 0; good < 3; ++good) {
    host.engine.removals_until_failure = good;
    const std::vector<DecoderState> before = states;
    try {
      decoder.step(states);
      FAIL("the truncation did not fail");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::contract);
    }
    CHECK(states == before);
  }
  host.engine.removals_until_failure = -1;
  decoder.step(states);
  CHECK(states == expected);
}

TEST_CASE("device: buffers come and go with the decoder, none in a steady step") {
  DeviceHost host{{.vocab = 6, .dim = 2, .seed = 31, .sequences = 4, .posterior_mean = true}};
  {
    SpeculativeJacobiDenoiser decoder{host, FixedWindow{.tokens = 6}, table_schedule()};
    std::vector<DecoderState> states;
    for (std::int32_t s = 0; s < 4; ++s) {
      states.push_back(decoder.start(s, {.tokens = 60, .sample = static_cast<std::uint64_t>(s)}));
    }
    decoder.step(states);
    const std::int64_t warm = host.pages.allocations;
    const std::size_t first = host.launches.size();
    std::size_t passes = 0;
    for (; !states[0].finished() && !states[1].finished(); ++passes) decoder.step(states);
    CHECK(host.pages.allocations == warm);
    CHECK(host.pages.live() == 2);
    // A pass is at most one upload, one launch and one download, always into the same buffer.
    std::size_t forwards = 0;
    for (std::size_t i = first; i < host.launches.size(); ++i) {
      if (host.launches[i].name != "forward") continue;
      forwards += 1;
      CHECK(host.launches[i].logits == host.launches[first + 1].logits);
    }
    CHECK(forwards == passes);
    CHECK(host.launches.size() - first <= 3 * passes);
  }
  CHECK(host.pages.live() == 0);
}

TEST_CASE("device: the pages really are closed to the CPU") {
  DevicePages pages;
  void* device = pages.allocate(64);
  // The kernel reads on behalf of write() and reports what a load of ours would die of.
  int channel[2];
  REQUIRE(::pipe(channel) == 0);
  const auto readable = [&] { return ::write(channel[1], device, 4) == 4; };
  CHECK_FALSE(readable());
  CHECK(errno == EFAULT);
  pages.open(device, 64, [&] { CHECK(readable()); });
  CHECK_FALSE(readable());
  CHECK_THROWS_AS(pages.open(device, 1 << 20, [] {}), std::logic_error);
  ::close(channel[0]);
  ::close(channel[1]);
}

}  // namespace sjd::test
