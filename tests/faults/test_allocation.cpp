// SPDX-License-Identifier: Apache-2.0
// Memory runs out at the k-th allocation, for every k; and requests that no machine can serve.
#include <iostream>
#include <limits>

#include "faults/fault_compositions.hpp"
#include "support/fault_line.hpp"
#include "support/mock_device.hpp"

namespace sjd::test {
namespace {

/// std::bad_alloc itself, or our error about a buffer.
void check_memory_error(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const std::bad_alloc&) {
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::out_of_memory);
  }
}

template <class Decoder, class Caught>
std::vector<DecoderState> counted(Decoder& decoder, const std::vector<Request>& requests,
                                  Caught&& caught) {
  const auto call = [&](auto&& work) {
    return [&decoder, &requests, work]() {
      const Counting on{true};
      return work(decoder, requests);
    };
  };
  std::vector<DecoderState> states;
  states.reserve(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    states.push_back(persist(
        call([i](auto& d, const auto& r) { return d.start(static_cast<std::int32_t>(i), r[i]); }),
        caught));
  }
  while (!all_finished(states)) {
    const std::vector<DecoderState> before = states;
    persist(call([&states](auto& d, const auto&) { d.step(states); }),
            [&](const std::exception_ptr& e) {
              CHECK(states == before);
              caught(e);
            });
  }
  return states;
}

/// A vocabulary that is allowed and cannot be held.
struct HugeHost {
  using Memory = HostMemory;
  using Prompt = int;
  std::int64_t vocab = std::numeric_limits<TokenId>::max();
  std::int64_t calls = 0;

  [[nodiscard]] std::int64_t vocab_size() const { return vocab; }
  [[nodiscard]] std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, int, MatrixView<float>) { calls += 1; }
  void forward(const ForwardPass<>&) { calls += 1; }
};

/// A device that is full after some allocations.
struct FullDevice : DeviceHost {
  using DeviceHost::DeviceHost;
  std::int64_t left = -1;
  void* allocate(std::size_t bytes) { return left-- == 0 ? nullptr : DeviceHost::allocate(bytes); }
};

}  // namespace

TEST_CASE("faults: memory that runs out at any allocation", "[faults]") {
  std::int64_t instances = 0;
  for_each_decoder([&](const std::string& name, bool mean, const auto& make) {
    INFO(name);
    std::vector<DecoderState> expected;
    std::int64_t allocations = 0;
    const auto run = [&](std::int64_t fail_at, auto&& caught) {
      FaultyHost host{fault_options(mean)};
      std::vector<DecoderState> states;
      make(host, [&](auto& decoder) {
        meter.reset(fail_at);
        states = counted(decoder, fault_requests(), caught);
      });
      return states;
    };
    expected = run(-1, [](const auto&) { FAIL("memory has run out by itself"); });
    allocations = meter.calls;
    CHECK(allocations > 10);
    for (std::int64_t k = 0; k < allocations; ++k) {
      std::int64_t caught = 0;
      const auto states = run(k, [&](const std::exception_ptr& e) {
        check_memory_error(e);
        caught += 1;
      });
      CAPTURE(k);
      CHECK(caught == 1);
      CHECK(states == expected);
      instances += 1;
    }
    meter.reset();
  });
  std::cout << "F5 bad_alloc at allocation k: " << instances << " instances\n";
  print_fault(22, "bad_alloc at allocation k", instances, "no state changed, retried bit-equal");
}

TEST_CASE("faults: what no machine can hold is refused with its size", "[faults]") {
  HugeHost host;
  PlainAr plain{host};
  std::int64_t requests = 0;
  const auto refused = [&](const GenerationRequest<int>& request, const std::string& part) {
    try {
      static_cast<void>(plain.generate(request));
      FAIL("nothing was thrown");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::out_of_memory);
      const std::string text = error.what();
      CAPTURE(text);
      CHECK(text.find(part) != std::string::npos);
    }
    requests += 1;
  };
  refused({.tokens = 2, .guidance = std::vector<float>(3, 1.0F)}, "34359738352 bytes");
  refused({.tokens = 2, .guidance = std::vector<float>(1'000, 1.0F)}, "8598524522588 bytes");
  CHECK(host.calls == 0);
  for (const std::int64_t vocab : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 31,
                                   std::numeric_limits<std::int64_t>::max()}) {
    HugeHost liar{.vocab = vocab};
    CHECK_THROWS_AS(PlainAr{liar}, Error);
    CHECK_THROWS_AS(CoupledSjd<HugeHost>{liar}, Error);
    requests += 2;
  }
  print_fault(23, "more than any machine holds", requests, "refused with its size");
}

TEST_CASE("faults: a device without memory left", "[faults]") {
  for (std::int64_t good = 0; good < 3; ++good) {
    FullDevice device{{.vocab = 6, .dim = 2, .seed = 3, .sequences = 1, .posterior_mean = true}};
    SpeculativeJacobiDenoiser decoder{device, FixedWindow{.tokens = 5}, table_schedule()};
    const Request request{.tokens = 20, .seed = 2};
    device.left = good;
    std::int64_t caught = 0;
    const auto states = decode_all(decoder, {request}, [&](const std::exception_ptr& e, auto&) {
      check_memory_error(e);
      CHECK_THROWS_AS(std::rethrow_exception(e), Error);
      caught += 1;
    });
    CHECK(caught == 1);
    device.left = -1;
    CHECK(states.front().tokens == decoder.generate(request).tokens);
  }
  print_fault(24, "full device (mock)", 3, "typed error, goes on with memory");
}

}  // namespace sjd::test
