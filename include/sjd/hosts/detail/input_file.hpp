// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include "sjd/hosts/detail/checked.hpp"

namespace sjd::hosts::detail {

/// A regular file, open for reading at given offsets.
///
/// errors  io if the system refuses; bad_file if it is not a regular file (a FIFO would block, a
///         device has no end)
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path) : name_{path.string()} {
    // The system would open what stands before the NUL.
    if (name_.find('\0') != std::string::npos) refuse(name_, "", "the name holds a NUL byte");
    descriptor_ = ::open(name_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) fail("cannot open");
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) {
      const int reason = errno;
      ::close(descriptor_);
      errno = reason;
      fail("cannot stat");
    }
    if (!S_ISREG(status.st_mode)) {
      ::close(descriptor_);
      refuse(name_, "", "is not a regular file");
    }
    size_ = static_cast<std::int64_t>(status.st_size);
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  InputFile(InputFile&& other) noexcept
      : name_{std::move(other.name_)},
        descriptor_{std::exchange(other.descriptor_, -1)},
        size_{other.size_} {}
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }

  /// Reads exactly `bytes` bytes at `offset`; the caller has checked them against size().
  void read(std::int64_t offset, void* destination, std::int64_t bytes) const {
    auto* out = static_cast<char*>(destination);
    while (bytes > 0) {
      const ::ssize_t count = ::pread(descriptor_, out, static_cast<std::size_t>(bytes), offset);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail("cannot read");
      if (count == 0)
        throw Error{ErrorCode::io, printable(name_) + ": became shorter while it was read"};
      out += count;
      offset += count;
      bytes -= count;
    }
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw Error{ErrorCode::io, printable(name_) + ": " + what + ": " + std::strerror(errno)};
  }

  std::string name_;
  int descriptor_ = -1;
  std::int64_t size_ = 0;
};

/// The whole of a text file of at most `most` bytes.
[[nodiscard]] inline std::string read_text(const std::filesystem::path& path, std::int64_t most) {
  const InputFile file{path};
  if (file.size() > most) {
    refuse(file.name(), "", "is larger than " + std::to_string(most) + " bytes");
  }
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read(0, text.data(), file.size());
  return text;
}

}  // namespace sjd::hosts::detail
