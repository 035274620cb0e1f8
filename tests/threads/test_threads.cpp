// SPDX-License-Identifier: Apache-2.0
// Everything that runs on more than one thread, small enough for thread sanitizer. What a thread
// found comes back as a value: Catch2 is not made for threads.
#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "sjd/hosts/llama.hpp"
#include "sjd/hosts/thread_pool.hpp"
#include "sjd/methods.hpp"
#include "support/catch.hpp"
#include "support/random_checkpoint.hpp"
#include "support/table_host.hpp"

namespace sjd::test {
namespace {

using hosts::LlamaHost;
using hosts::ThreadPool;

using Tokens = std::vector<std::vector<TokenId>>;

template <class Request>
std::vector<Request> ragged(std::int64_t count) {
  std::vector<Request> requests;
  for (std::int64_t i = 0; i < count; ++i) {
    Request request{.tokens = 12 + 5 * i, .seed = 3, .sample = static_cast<std::uint64_t>(i)};
    if (i % 2 == 1) request.guidance = {1.5F};
    requests.push_back(request);
  }
  return requests;
}

template <class Decoder>
Tokens drawn(Decoder& decoder) {
  Tokens tokens;
  for (const auto& picture : decoder.generate(ragged<typename Decoder::Request>(4))) {
    tokens.push_back(picture.tokens);
  }
  return tokens;
}

Tokens drawn_by_table() {
  TableHost host{{.vocab = 7, .dim = 2, .seed = 5, .sequences = 3, .posterior_mean = true}};
  CoupledSjd2<TableHost> decoder{
      host, FixedWindow{.tokens = 5},
      KarrasSchedule{.levels = 2, .grid = 4, .rho_min = 0.5F, .rho_max = 2.0F}};
  return drawn(decoder);
}

Tokens drawn_by_llama(const std::filesystem::path& directory, int threads) {
  LlamaHost host =
      LlamaHost::load(directory, "sjd2.safetensors", {.max_sequences = 3, .threads = threads});
  CoupledSjd2<LlamaHost> decoder{host, FixedWindow{.tokens = 6},
                                 KarrasSchedule{.levels = 2, .grid = 4}};
  return drawn(decoder);
}

}  // namespace

TEST_CASE("threads: loops of a pool see what was written before them and leave what they wrote") {
  for (const int threads : {2, 3, 6}) {
    ThreadPool pool{threads};
    std::vector<std::int64_t> numbers(97, 1);
    for (int round = 0; round < 300; ++round) {
      // Plain memory on both sides: a race here is a race in the pool.
      const std::vector<std::int64_t> before = numbers;
      const auto tasks = static_cast<std::int64_t>(numbers.size()) - round % 40;
      pool.run(tasks, [&](std::int64_t task, int thread) {
        const auto at = static_cast<std::size_t>(task);
        numbers[at] = before[(at + 1) % before.size()] + (thread < threads ? 1 : -1'000'000);
      });
    }
    for (const std::int64_t number : numbers) CHECK(number > 1);
  }
}

TEST_CASE("threads: pools come and go, at work, idle and asleep") {
  std::atomic<std::int64_t> done{0};
  for (int round = 0; round < 50; ++round) {
    ThreadPool pool{1 + round % 4};
    if (round % 3 == 0) continue;
    if (round % 10 == 1) std::this_thread::sleep_for(std::chrono::milliseconds{2});
    pool.run(round, [&](std::int64_t, int) { done.fetch_add(1, std::memory_order_relaxed); });
  }
  std::int64_t expected = 0;
  for (int round = 0; round < 50; ++round) expected += round % 3 == 0 ? 0 : round;
  CHECK(done == expected);
}

TEST_CASE("threads: pools of several callers do not meet") {
  std::array<std::int64_t, 3> sums{};
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < sums.size(); ++caller) {
    callers.emplace_back([&sums, caller] {
      ThreadPool pool{2};
      std::vector<std::int64_t> squares(31);
      for (int round = 0; round < 100; ++round) {
        pool.run(31, [&](std::int64_t i, int) { squares[static_cast<std::size_t>(i)] += i * i; });
      }
      for (const std::int64_t square : squares) sums[caller] += square;
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const std::int64_t sum : sums) CHECK(sum == 100 * 9'455);
}

TEST_CASE("threads: a ragged batch of the reference host draws the same by any number of them") {
  const TemporaryDirectory directory;
  write_random_model(directory.path(), tiny_shape(), 5);
  const Tokens alone = drawn_by_llama(directory.path(), 1);
  CHECK(alone[3].size() == 27);
  for (const int threads : {2, 4}) CHECK(drawn_by_llama(directory.path(), threads) == alone);
}

TEST_CASE("threads: decoders of several threads do not meet") {
  const TemporaryDirectory directory;
  write_random_model(directory.path(), tiny_shape(), 6);
  const Tokens table = drawn_by_table();
  const Tokens llama = drawn_by_llama(directory.path(), 1);
  std::array<Tokens, 4> found;
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < found.size(); ++caller) {
    callers.emplace_back([&, caller] {
      found[caller] = caller % 2 == 0 ? drawn_by_table() : drawn_by_llama(directory.path(), 2);
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == (i % 2 == 0 ? table : llama));
}

TEST_CASE("threads: of two callers of one decoder one at a time is served, the other refused") {
  TableHost host{{.vocab = 7, .seed = 5, .sequences = 3}};
  CoupledSjd<TableHost> decoder{host, FixedWindow{.tokens = 5}};
  const Tokens expected = drawn(decoder);
  std::atomic<int> served{0};
  std::atomic<int> refused{0};
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 40; ++round) {
        try {
          (drawn(decoder) == expected ? served : wrong) += 1;
        } catch (const Error& error) {
          (error.code() == ErrorCode::contract ? refused : wrong) += 1;
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
  CHECK(served > 0);
  CHECK(served + refused == 120);
}

}  // namespace sjd::test
