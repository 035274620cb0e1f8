// SPDX-License-Identifier: Apache-2.0
#include "memory_input.hpp"

#include <sys/stat.h>
#include <sys/types.h>

#include <algorithm>
#include <cstdarg>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace sjd::fuzz {
namespace {

constexpr const char* input_name = "/fuzz/input";
constexpr int input_descriptor = 1 << 24;  // beyond what the system hands out

std::string_view input;
int opened = 0;

}  // namespace

MemoryInput::MemoryInput(std::string_view bytes) {
  input = bytes;
}

// A reader that forgets to close its file is a finding.
MemoryInput::~MemoryInput() {
  if (opened != 0) std::abort();
  input = {};
}

const std::filesystem::path& MemoryInput::path() {
  static const std::filesystem::path path{input_name};
  return path;
}

int MemoryInput::open_descriptors() {
  return opened;
}

}  // namespace sjd::fuzz

extern "C" {

int __real_open(const char* path, int flags, ...);
int __real_fstat(int descriptor, struct stat* status);
ssize_t __real_pread(int descriptor, void* destination, size_t bytes, off_t offset);
int __real_close(int descriptor);

int __wrap_open(const char* path, int flags, ...) {
  if (std::strcmp(path, sjd::fuzz::input_name) == 0) {
    sjd::fuzz::opened += 1;
    return sjd::fuzz::input_descriptor;
  }
  va_list more;
  va_start(more, flags);
  const int mode = va_arg(more, int);
  va_end(more);
  return __real_open(path, flags, mode);
}

int __wrap_fstat(int descriptor, struct stat* status) {
  if (descriptor != sjd::fuzz::input_descriptor) return __real_fstat(descriptor, status);
  *status = {};
  status->st_mode = S_IFREG;
  status->st_size = static_cast<off_t>(sjd::fuzz::input.size());
  return 0;
}

ssize_t __wrap_pread(int descriptor, void* destination, size_t bytes, off_t offset) {
  if (descriptor != sjd::fuzz::input_descriptor) {
    return __real_pread(descriptor, destination, bytes, offset);
  }
  const std::string_view input = sjd::fuzz::input;
  const auto at = static_cast<size_t>(offset);
  if (offset < 0 || at >= input.size()) return 0;
  const size_t count = std::min(bytes, input.size() - at);
  std::memcpy(destination, input.data() + at, count);
  return static_cast<ssize_t>(count);
}

int __wrap_close(int descriptor) {
  if (descriptor != sjd::fuzz::input_descriptor) return __real_close(descriptor);
  sjd::fuzz::opened -= 1;
  return 0;
}

}  // extern "C"
