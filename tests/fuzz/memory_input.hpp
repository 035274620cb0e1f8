// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>

namespace sjd::fuzz {

/// Bytes that the readers see as a file, without a system call: the program is linked with --wrap
/// for open, fstat, pread and close, so that the readers run as they are. One at a time; the bytes
/// are borrowed.
class MemoryInput {
 public:
  explicit MemoryInput(std::string_view bytes);
  MemoryInput(const MemoryInput&) = delete;
  MemoryInput& operator=(const MemoryInput&) = delete;
  ~MemoryInput();

  [[nodiscard]] static const std::filesystem::path& path();

  /// Descriptors handed out and not closed.
  [[nodiscard]] static int open_descriptors();
};

}  // namespace sjd::fuzz
