// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sjd::test {

/// A file that exists in memory alone; path() opens it anew.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes)
      : descriptor_{::memfd_create("hostile", MFD_CLOEXEC)} {
    if (descriptor_ < 0) throw std::runtime_error{"memfd_create failed"};
    while (!bytes.empty()) {
      const ::ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
      if (count <= 0) {
        ::close(descriptor_);
        throw std::runtime_error{"cannot write to memory"};
      }
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(descriptor_); }

  [[nodiscard]] std::filesystem::path path() const {
    return "/proc/self/fd/" + std::to_string(descriptor_);
  }

 private:
  int descriptor_;
};

}  // namespace sjd::test
