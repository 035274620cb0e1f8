// SPDX-License-Identifier: Apache-2.0
#include "machine.hpp"

#include <fstream>
#include <sjd/hosts/kernels.hpp>
#include <sjd/version.hpp>

namespace sjd::bench {
namespace {

std::string processor_name() {
  std::ifstream file{"/proc/cpuinfo"};
  std::string line;
  while (std::getline(file, line)) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

std::string instruction_name() {
  switch (hosts::best_instruction_set()) {
    case hosts::InstructionSet::amx:
      return "AMX";
    case hosts::InstructionSet::avx512:
      return "AVX-512";
    case hosts::InstructionSet::avx2:
      return "AVX2";
    case hosts::InstructionSet::scalar:
      break;
  }
  return "scalar";
}

std::string compiler_name() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

}  // namespace

Machine describe_machine(int cores, int threads) {
  return {.processor = processor_name(),
          .cores = cores,
          .threads = threads,
          .instructions = instruction_name(),
          .compiler = compiler_name(),
          .version = SJD_VERSION};
}

}  // namespace sjd::bench
