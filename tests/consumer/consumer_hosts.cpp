// SPDX-License-Identifier: Apache-2.0
// The smallest project that uses what the reference hosts need other packages for.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <sjd/hosts/json.hpp>
#include <sjd/hosts/thread_pool.hpp>

int main() {
  const auto settings = sjd::hosts::JsonField::parse(R"({"tasks": 32})", "settings");
  sjd::hosts::ThreadPool pool{2};
  std::atomic<std::int64_t> done = 0;
  pool.run(settings["tasks"].integer(1, 100), [&](std::int64_t, int) { ++done; });
  std::printf("%lld tasks on %d threads\n", static_cast<long long>(done.load()), pool.threads());
}
