// SPDX-License-Identifier: Apache-2.0
// Callbacks that stop, throw or call back, and a second thread.
#include <iostream>
#include <thread>

#include "faults/fault_compositions.hpp"
#include "support/fault_line.hpp"

namespace sjd::test {
namespace {

template <class Call>
void check_busy(Call&& call) {
  try {
    call();
    FAIL("a decoder at work was called");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::contract);
    CHECK(std::string{error.what()}.find("at work already") != std::string::npos);
  }
}

}  // namespace

TEST_CASE("faults: cancelled at any iteration, resumed to the same tokens", "[faults]") {
  std::int64_t instances = 0;
  for_each_decoder([&](const std::string& name, bool mean, const auto& make) {
    INFO(name);
    for (const Request& request : fault_requests()) {
      FaultyHost host{fault_options(mean)};
      make(host, [&](auto& decoder) {
        const GenerationResult whole = decoder.generate(request);
        for (std::int64_t stop = 1; stop < whole.statistics.forward_passes; ++stop) {
          DecoderState kept;
          const GenerationResult part = decoder.generate(request, [&](const IterationEvent& event) {
            kept = event.state;
            return event.state.iteration != stop;
          });
          CHECK(part.cancelled);
          CHECK(part.tokens == kept.tokens);
          CHECK(std::equal(part.tokens.begin(), part.tokens.end(), whole.tokens.begin()));
          while (!kept.finished()) decoder.step({&kept, 1});
          CHECK(kept.tokens == whole.tokens);
          CHECK(kept.statistics == whole.statistics);
          instances += 1;
        }
      });
    }
  });
  std::cout << "F6 cancelled at iteration k: " << instances << " instances\n";
  print_fault(21, "cancelled at iteration k", instances, "what stands is valid, resumed bit-equal");
}

TEST_CASE("faults: a callback that throws at any iteration", "[faults]") {
  for_each_decoder([&](const std::string& name, bool mean, const auto& make) {
    INFO(name);
    FaultyHost host{fault_options(mean)};
    make(host, [&](auto& decoder) {
      std::vector<std::vector<TokenId>> expected;
      std::int64_t events = 0;
      for (const auto& r : decoder.generate(fault_requests(), [&](const IterationEvent&) {
             events += 1;
             return true;
           })) {
        expected.push_back(r.tokens);
      }
      for (std::int64_t k = 0; k < events; ++k) {
        std::int64_t seen = 0;
        CHECK_THROWS_AS(decoder.generate(fault_requests(),
                                         [&](const IterationEvent&) -> bool {
                                           if (seen++ == k) throw std::range_error{"injected"};
                                           return true;
                                         }),
                        std::range_error);
        const auto again = decoder.generate(fault_requests());
        for (std::size_t i = 0; i < again.size(); ++i) CHECK(again[i].tokens == expected[i]);
      }
    });
  });
}

TEST_CASE("faults: a decoder at work refuses every other call", "[faults]") {
  std::int64_t calls = 0;
  for_each_decoder([&](const std::string& name, bool mean, const auto& make) {
    INFO(name);
    FaultyHost host{fault_options(mean)};
    make(host, [&](auto& decoder) {
      const auto requests = fault_requests();
      const auto expected = decoder.generate(requests);
      const auto found = decoder.generate(requests, [&](const IterationEvent& event) {
        check_busy([&] { static_cast<void>(decoder.generate(requests)); });
        check_busy([&] { static_cast<void>(decoder.start(0, requests[0])); });
        DecoderState copy = event.state;
        copy.total += 1;
        check_busy([&] { decoder.step({&copy, 1}); });
        // Catch2 is not made for threads, so the verdict comes back as a value.
        int busy = 0;
        std::thread{[&] {
          try {
            static_cast<void>(decoder.generate(requests));
          } catch (const Error& error) {
            busy = error.code() == ErrorCode::contract ? 1 : 2;
          }
        }}.join();
        CHECK(busy == 1);
        calls += 4;
        return true;
      });
      for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i].tokens == expected[i].tokens);
    });
  });
  print_fault(20, "callback or second thread calls the decoder", calls,
              "refused, tokens unchanged");
}

TEST_CASE("faults: a model may announce any number of sequences", "[faults]") {
  struct ManyHost : TableHost {
    using TableHost::TableHost;
    std::int64_t many = 0;
    [[nodiscard]] std::int64_t max_sequences() const { return many; }
  };
  const std::vector<Request> requests = fault_requests();
  TableHost few{fault_options(false)};
  const auto expected = PlainAr{few}.generate(requests);
  for (const std::int64_t many :
       {std::int64_t{3}, std::int64_t{1} << 32, std::numeric_limits<std::int64_t>::max()}) {
    ManyHost host{fault_options(false)};
    host.many = many;
    const auto found = PlainAr{host}.generate(requests);
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i].tokens == expected[i].tokens);
  }
}

}  // namespace sjd::test
