// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace sjd::test {

/// Prints one row of the fault table that tests/run ends with: a row of the catalogue of faults,
/// what went wrong, how often it was made to, and what came of it each time.
inline void print_fault(int row, const std::string& what, std::int64_t injected,
                        const std::string& outcome) {
  std::printf("F0 row-%02d %s: %lld injected; %s\n", row, what.c_str(),
              static_cast<long long>(injected), outcome.c_str());
  std::fflush(stdout);
}

}  // namespace sjd::test
