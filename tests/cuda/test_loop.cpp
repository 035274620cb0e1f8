// SPDX-License-Identifier: Apache-2.0
// Many pictures through a few places of a decoder whose loop never leaves the device: tokens and
// counters of the CPU decoder, with joining, leaving, errors, and whichever way a step is repeated.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "cuda/hidden_host.hpp"
#include "cuda/loop_cases.hpp"
#include "sjd/cuda/launch.hpp"
#include "support/allocation_meter.hpp"
#include "support/catch.hpp"

namespace sjd::test {
namespace {

using cuda::HostDevice;

/// Clusters and shared memory of a device so small that large rows are cut.
constexpr cuda::DeviceLimits small_device{
    .clusters = true, .shared_bytes = 227 * 1024, .multiprocessors = 8};

/// Runs a loop on the host executor.
struct LoopOnHost {
  std::uint64_t seed = 1;
  std::int64_t depth = 4;

  template <class Denoiser>
  std::vector<DecoderState> operator()(LoopCase loop, Denoiser& denoiser) const {
    using Corrector = typename Denoiser::Corrector;
    HostDevice device{{.seed = seed}, seed % 2 == 0};
    loop.poll_every = static_cast<std::int32_t>(1 + seed % 4);
    if constexpr (std::is_same_v<Corrector, TableCorrector>) {
      return run_loop(loop, device, small_device,
                      TableChange{TableCorrector{.depth = loop.rules.depth},
                                  static_cast<std::size_t>(loop.rules.vocab)});
    } else if constexpr (std::is_same_v<Corrector, HeadCorrector>) {
      const hosts::CorrectorLines lines{denoiser.model().corrector_head().weights()};
      const cuda::DeviceHead head{device, lines.tables(), loop.room.sequences, loop.rules.depth};
      return run_loop(loop, device, small_device, head.change());
    } else {
      return run_loop(loop, device, small_device, cuda::NoChange{});
    }
  }
};

template <class Host = TableHost, class... Policies>
void compare(KernelRules rules, Policies... policies) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    DecodeCase c = decode_case(rules, seed);
    c.window += 2;
    CAPTURE(seed);
    CHECK(loop_difference<Host>(c, LoopOnHost{seed}, NoNoise{}, RowEndGrammar{3, 5}, 4, RawNoise{},
                                policies...) == "");
  }
}

/// Notes what is launched and what is waited for, and runs nothing.
struct RecordingDevice {
  struct Launcher {
    int launches = 0;
    template <class Kernel>
    void launch(const cuda::Geometry&, const typename Kernel::Arguments&) {
      launches += 1;
    }
  };

  Launcher& launcher() { return launcher_; }
  void* allocate(std::size_t bytes) { return std::calloc(bytes, 1); }
  void deallocate(void* memory) { std::free(memory); }
  void upload(void*, const void*, std::size_t) { waits += 1; }
  void download(void*, const void*, std::size_t) { waits += 1; }

  template <class Enqueue>
  void repeat(std::int64_t, const cuda::Progress*, std::int32_t, const Enqueue& enqueue) {
    const int launches_before = launcher_.launches, waits_before = waits;
    meter.reset();
    {
      const Counting counting{true};
      enqueue(launcher_);
    }
    allocations = meter.calls;
    launches_of_a_step = launcher_.launches - launches_before;
    waits_of_a_step = waits - waits_before;
  }

  int waits = 0;
  int launches_of_a_step = 0;
  int waits_of_a_step = 0;
  std::int64_t allocations = -1;

 private:
  Launcher launcher_;
};

/// A feed and a schedule that a denoiser takes for those that it derives from.
struct LouderNoise : RawNoise {};
struct SlowerSchedule : KarrasSchedule {};
static_assert(cuda::detail::noise_fits<KarrasSchedule, RawNoise>());
static_assert(cuda::detail::noise_fits<NoNoise, PosteriorMean>());
static_assert(!cuda::detail::noise_fits<KarrasSchedule, LouderNoise>());
static_assert(!cuda::detail::noise_fits<SlowerSchedule, RawNoise>());

using TableRules = cuda::DeviceRules<HostDevice>;
template <class Rules>
constexpr bool borrows =
    std::is_constructible_v<cuda::DeviceDecoder<TableModel<HostDevice>, HostDevice>,
                            TableModel<HostDevice>&, HostDevice&, Rules, cuda::DecoderRoom,
                            cuda::DeviceLimits>;
static_assert(borrows<const TableRules&> && !borrows<TableRules> && !borrows<const TableRules>);

/// Writes one number.
struct WriteNumber {
  struct Shared {};
  struct Arguments {
    int* to;
    int value;
  };
  template <class Block>
  static void run(Block& block, const Arguments& a) {
    block.phase([a](const cuda::Thread<Shared>&) { *a.to = a.value; });
  }
};

}  // namespace

TEST_CASE("a captured step goes with the arrays that it was captured for") {
  HostDevice device{{}, false};
  int written = 0;
  const auto run = [&](cuda::Progress* progress, int value) {
    device.repeat(1, progress, 1, [&](auto& launcher) {
      launcher.template launch<WriteNumber>({1, 1, 32, 0}, {&written, value});
    });
    return written;
  };
  void* memory = device.allocate(sizeof(cuda::Progress));
  auto* progress = static_cast<cuda::Progress*>(memory);
  // Whoever comes next may be given the same address.
  const volatile auto address = reinterpret_cast<std::uintptr_t>(progress);
  REQUIRE(run(progress, 1) == 1);
  REQUIRE(run(progress, 2) == 1);
  device.deallocate(memory);
  REQUIRE(run(reinterpret_cast<cuda::Progress*>(address), 3) == 3);
}

TEST_CASE("a pass and a step in the loop are five launches, no allocation and no wait") {
  RecordingDevice device;
  const TableOptions options{.vocab = 7, .sequences = 2};
  TableModel<RecordingDevice> model{device, options, 1, 20, 0};
  cuda::DecodeRules rules;
  rules.vocab = 7;
  rules.window_rows = 4;
  const cuda::DeviceRules<RecordingDevice> there{device, rules};
  cuda::DeviceDecoder decoder{model, device, there, {.sequences = 2, .most_tokens = 20}, {}};
  DecoderState state;
  state.total = 20;
  state.tokens = {1};
  decoder.admit(1, state);
  REQUIRE_THROWS_AS(decoder.admit(1, state), Error);
  static_cast<void>(decoder.advance(4));
  REQUIRE(device.launches_of_a_step == 1 + 3 + 1);  // the model, the step, the progress
  REQUIRE(device.waits_of_a_step == 0);
  REQUIRE(device.allocations == 0);
}

TEST_CASE("a bad row ends a loop with the error of its position, and the decoder goes on") {
  const DecodeCase c = decode_case({}, 5);
  TableHost host{c.table};
  SpeculativeJacobiDenoiser denoiser{host, FixedWindow{.tokens = c.window}, NoNoise{}};
  const LoopCase loop = loop_case(c, host, denoiser, 0);
  HostDevice device;
  TableModel<HostDevice> model{device, c.table, loop.room.branches, loop.room.most_tokens, 0};
  const cuda::DeviceRules<HostDevice> rules{device, loop.rules};
  cuda::DeviceDecoder decoder{model, device, rules, loop.room, small_device};
  const auto start = [&](std::int64_t place, std::int64_t number) {
    const auto n = static_cast<std::size_t>(number);
    model.begin(place, loop.begins[n]);
    return loop.starts[n];
  };
  model.spoiled = 6;
  try {
    static_cast<void>(decoder.decode(1, start));
    FAIL("a NaN was decoded");
  } catch (const Error& error) {
    REQUIRE(error.code() == ErrorCode::invalid_logits);
    REQUIRE(error.position() == 6);
  }
  model.spoiled = -1;
  const std::vector<DecoderState> states = decoder.decode(3, start);
  const auto requests = loop_requests(c);
  for (std::size_t i = 0; i < states.size(); ++i) {
    REQUIRE(states[i].tokens == denoiser.generate(requests[i]).tokens);
  }
}

TEST_CASE("decoders that follow one another on one device have steps of their own") {
  HostDevice device;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    DecodeCase c = decode_case({}, seed);
    c.table.vocab = 5 + static_cast<std::int64_t>(seed);
    TableHost host{c.table};
    SpeculativeJacobiDenoiser denoiser{host, FixedWindow{.tokens = c.window}, NoNoise{}};
    const LoopCase loop = loop_case(c, host, denoiser, 0);
    const std::vector<DecoderState> states = run_loop(loop, device, small_device, cuda::NoChange{});
    const auto requests = loop_requests(c);
    CAPTURE(seed);
    for (std::size_t i = 0; i < states.size(); ++i) {
      REQUIRE(states[i].tokens == denoiser.generate(requests[i]).tokens);
    }
  }
}

TEST_CASE("a device decoder refuses what does not fit") {
  const DecodeCase c = decode_case({}, 5);
  HiddenHost host{c.table};
  SpeculativeJacobiDenoiser denoiser{host, FixedWindow{.tokens = c.window}, NoNoise{},
                                     HeadCorrector{.depth = 3}};
  LoopCase loop = loop_case(c, host, denoiser, 0);
  HostDevice device;
  const hosts::CorrectorLines lines{host.corrector_head().weights()};
  const auto refused = [&](std::int64_t sequences, std::int64_t depth) {
    const cuda::DeviceHead head{device, lines.tables(), sequences, depth};
    try {
      static_cast<void>(run_loop(loop, device, small_device, head.change()));
      return false;
    } catch (const Error& error) {
      return error.code() == ErrorCode::invalid_argument;
    }
  };
  CHECK_FALSE(refused(loop.room.sequences, 3));
  CHECK(refused(loop.room.sequences - 1, 3));
  CHECK(refused(loop.room.sequences, 2));
  loop.poll_every = 0;
  CHECK(refused(loop.room.sequences, 3));
  loop.poll_every = 1;
  loop.room.hidden_dim = 0;
  CHECK(refused(loop.room.sequences, 3));

  TableModel<HostDevice> model{device, c.table, loop.room.branches, loop.room.most_tokens, 0};
  cuda::DecodeRules plain = loop.rules;
  plain.depth = 0;
  const cuda::DeviceRules<HostDevice> rules{device, plain};
  cuda::DeviceDecoder decoder{model, device, rules, loop.room, small_device};
  for (const std::int64_t place : {std::int64_t{-1}, loop.room.sequences}) {
    REQUIRE_THROWS_AS(decoder.admit(place, loop.starts[0]), Error);
    REQUIRE_THROWS_AS(decoder.release(place), Error);
  }
}

TEST_CASE("a decoder on a device refuses what its arrays cannot hold") {
  HostDevice device;
  const TableOptions options{.vocab = 7, .sequences = 2};
  TableModel<HostDevice> model{device, options, 1, 20, 0};
  cuda::DecodeRules plain;
  plain.vocab = 7;
  plain.window_rows = 4;
  const cuda::DeviceRules<HostDevice> rules{device, plain};
  using Decoder = cuda::DeviceDecoder<TableModel<HostDevice>, HostDevice>;
  const auto code_of = [](auto&& call) -> std::optional<ErrorCode> {
    try {
      call();
    } catch (const Error& error) {
      return error.code();
    }
    return std::nullopt;
  };
  using enum ErrorCode;
  for (const cuda::DecoderRoom& none : {cuda::DecoderRoom{.sequences = 0, .most_tokens = 20},
                                        cuda::DecoderRoom{.sequences = -1, .most_tokens = 20},
                                        cuda::DecoderRoom{.sequences = 2, .most_tokens = 0},
                                        cuda::DecoderRoom{.most_tokens = 20, .branches = 0},
                                        cuda::DecoderRoom{.most_tokens = 20, .capacity = -1}}) {
    CHECK(code_of([&] { Decoder decoder(model, device, rules, none, {}); }) == invalid_argument);
  }
  Decoder decoder{model, device, rules, {.sequences = 2, .most_tokens = 20}, {}};
  DecoderState good;
  good.total = 20;
  good.tokens = {1, 2, 3, 4, 5, 6};
  good.window = {{.age = 3, .token = 2, .law = TokenLaw::uniform(7)}};
  const auto refuse = [&](ErrorCode code, auto change) {
    DecoderState forged = good;
    change(forged);
    CHECK(code_of([&] { decoder.admit(0, forged); }) == code);
  };
  refuse(contract, [](DecoderState& s) { s.window[0].age = 4; });
  refuse(contract, [](DecoderState& s) { s.window.push_back(s.window[0]); });  // older when judged
  refuse(invalid_argument, [](DecoderState& s) { s.window[0].age = -1; });
  refuse(invalid_argument, [](DecoderState& s) { s.window[0].token = 7; });
  refuse(invalid_argument, [](DecoderState& s) { s.window[0].level = 1; });
  refuse(invalid_argument, [](DecoderState& s) { s.window[0].noisy = {0.5F}; });
  refuse(contract, [](DecoderState& s) { s.window.resize(4, s.window[0]); });
  refuse(invalid_argument, [](DecoderState& s) { s.tokens[5] = 7; });
  refuse(contract, [](DecoderState& s) { s.total = 21; });
  refuse(contract, [](DecoderState& s) { s.guidance = {2.0F}; });
  decoder.admit(0, good);
  const auto start = [&](std::int64_t, std::int64_t) { return good; };
  CHECK(code_of([&] { static_cast<void>(decoder.decode(1, start)); }) == contract);
  CHECK(decoder.release(0) == good);
  CHECK(code_of([&] { static_cast<void>(decoder.decode(-1, start)); }) == invalid_argument);
}

TEST_CASE("a window as wide as any picture is one as wide as those that there is room for") {
  const DecodeCase c = decode_case({}, 4);
  const auto requests = loop_requests(c);
  for (const std::int64_t tokens :
       {std::int64_t{46}, std::int64_t{1} << 32, std::numeric_limits<std::int64_t>::max()}) {
    TableHost host{c.table};
    SpeculativeJacobiDenoiser denoiser{host, FixedWindow{.tokens = tokens}, NoNoise{}};
    LoopCase loop = loop_case(c, host, denoiser, 0);
    loop.room.most_tokens = 45;  // of the longest request
    CAPTURE(tokens);
    CHECK(loop.rules.window_rows == std::min<std::int64_t>(tokens, 1 << 20));
    HostDevice device;
    const std::vector<DecoderState> states = run_loop(loop, device, small_device, cuda::NoChange{});
    for (std::size_t i = 0; i < states.size(); ++i) {
      const GenerationResult expected = denoiser.generate(requests[i]);
      CHECK(states[i].tokens == expected.tokens);
      CHECK(states[i].statistics == expected.statistics);
    }
  }
}

TEST_CASE("a loop on the device decodes as SpeculativeJacobiDenoiser does") {
  compare({}, SpeculativeAcceptance{}, MaximalCoupling{});
  compare({}, SpeculativeAcceptance{}, QuantileCoupling{});
  compare({}, GumbelEquality{}, GumbelCoupling{});
}

TEST_CASE("a loop on the device redraws drafts as SpeculativeJacobiDenoiser does") {
  compare({}, SpeculativeAcceptance{}, MaximalCoupling{}, TableCorrector{.depth = 3});
  compare<HiddenHost>({}, SpeculativeAcceptance{}, MaximalCoupling{}, HeadCorrector{.depth = 4});
}

TEST_CASE("a loop on the device denoises as SpeculativeJacobiDenoiser does") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    DecodeCase c = decode_case({}, seed, 5);
    c.table.vocab = 23;
    c.table.posterior_mean = true;
    const KarrasSchedule schedule{.levels = seed % 2 == 0 ? 3 : 1,
                                  .grid = 4,
                                  .rho_min = 0.5F,
                                  .rho_max = 2.0F,
                                  .tokens_per_level = 2};
    CAPTURE(seed);
    CHECK(loop_difference<HiddenHost>(c, LoopOnHost{seed}, schedule, RowEndGrammar{3, 5}, 4,
                                      PosteriorMean{}, SpeculativeAcceptance{}, MaximalCoupling{},
                                      HeadCorrector{.depth = 3}) == "");
  }
}

}  // namespace sjd::test
