// SPDX-License-Identifier: Apache-2.0
// One libFuzzer program for all readers: --target=NAME picks one.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "fuzz_target.hpp"
#include "memory_input.hpp"
#include "sjd/core/error.hpp"
#include "sjd/hosts/detail/input_file.hpp"

namespace {

sjd::fuzz::Target target = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  const std::map<std::string, sjd::fuzz::Target> targets{
      {"safetensors", sjd::fuzz::read_safetensors},
      {"config", sjd::fuzz::read_config},
      {"tokenizer", sjd::fuzz::read_tokenizer},
      {"prompt", sjd::fuzz::read_prompt},
      {"corrector", sjd::fuzz::read_corrector},
      {"state", sjd::fuzz::read_state},
      {"costs", sjd::fuzz::read_costs},
      {"prompts", sjd::fuzz::read_prompts}};
  constexpr std::string_view option = "--target=";
  for (int i = 1; i < *argc; ++i) {
    const std::string argument{(*argv)[i]};
    if (!argument.starts_with(option)) continue;
    const auto found = targets.find(argument.substr(option.size()));
    if (found != targets.end()) target = found->second;
  }
  if (target == nullptr) {
    std::fputs("fuzz_readers: --target=", stderr);
    for (const auto& [name, reader] : targets) std::fprintf(stderr, "%s ", name.c_str());
    std::exit(64);
  }
  // Were the files of memory no files to the readers, all inputs would be refused alike.
  const sjd::fuzz::MemoryInput probe{"seen"};
  if (sjd::hosts::detail::read_text(probe.path(), 4) != "seen") std::abort();
  return 0;
}

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

// Any change of a saved state breaks its checksum: all but one in sixteen get a right one, so that
// what lies behind it is read.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned int seed) {
  const std::size_t changed = LLVMFuzzerMutate(data, size, most);
  if (target == sjd::fuzz::read_state && seed % 16 != 0) sjd::fuzz::seal_state({data, changed});
  return changed;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    target({data, size});
  } catch (const sjd::Error&) {
    // The promise is kept: a typed refusal.
  }
  return 0;
}
