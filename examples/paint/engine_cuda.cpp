// SPDX-License-Identifier: Apache-2.0
#include "engine_cuda.hpp"

#include <dlfcn.h>

#include <array>

#include "exit_codes.hpp"

namespace sjd::paint {
namespace {

[[noreturn]] void refuse(const std::string& reason) {
  throw UsageError{"--device cuda: " + reason};
}

#if defined(SJD_PAINT_CUDA_LIBRARY)
MakeCudaEngine find_maker() {
  void* library = dlopen(SJD_PAINT_CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) refuse(std::string{"the CUDA part does not load: "} + dlerror());
  void* maker = dlsym(library, make_cuda_engine_name);
  if (maker == nullptr) refuse(std::string{"the CUDA part is not of this build: "} + dlerror());
  return reinterpret_cast<MakeCudaEngine>(maker);
}
#else
MakeCudaEngine find_maker() {
  refuse(
      "this paint was built without CUDA, nvcc or cuBLAS was not found; install the CUDA Toolkit "
      "and configure again, or leave --device out");
}
#endif

}  // namespace

std::unique_ptr<Engine> load_cuda_engine(const std::filesystem::path& directory,
                                         const std::string& weights_file, std::int64_t sequences) {
  std::array<char, why_size> why{};
  std::unique_ptr<Engine> engine{
      find_maker()(directory.c_str(), weights_file.c_str(), sequences, why.data())};
  if (engine == nullptr) refuse(why.data());
  return engine;
}

}  // namespace sjd::paint
