// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sjd::bench {

/// What the numbers of a run depend on.
struct Machine {
  std::string processor;
  int cores = 0;
  int threads = 0;
  std::string instructions;  ///< of the reference host
  std::string compiler;
  std::string version;  ///< of sjd
};

[[nodiscard]] Machine describe_machine(int cores, int threads);

}  // namespace sjd::bench
