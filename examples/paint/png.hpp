// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <png.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"

namespace sjd::paint {

/// An RGB picture as the bytes of a PNG file.
///
/// shapes  rgb [height, width, 3]
/// errors  invalid_argument for a wrong size, io if libpng refuses
[[nodiscard]] inline std::vector<std::uint8_t> encode_png(std::span<const std::uint8_t> rgb,
                                                          std::int64_t height, std::int64_t width) {
  constexpr std::int64_t largest = 16'384;
  expects(height >= 1 && height <= largest && width >= 1 && width <= largest &&
              static_cast<std::int64_t>(rgb.size()) == height * width * 3,
          ErrorCode::invalid_argument, "encode_png: rgb is not [height, width, 3]");
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_RGB;
  // The simplified interface keeps libpng's longjmp inside libpng.
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<std::uint8_t> bytes(size);
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, rgb.data(), 0, nullptr) == 0) {
    throw Error{ErrorCode::io, std::string{"encode_png: "} + image.message};
  }
  bytes.resize(size);
  return bytes;
}

namespace detail {

[[noreturn]] inline void fail(const std::filesystem::path& path, const char* what) {
  throw Error{ErrorCode::io, path.string() + ": " + what + ": " + std::strerror(errno)};
}

/// A new file beside the one that it will become; removed unless it was published.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::filesystem::path target) : target_{std::move(target)} {
    for (int attempt = 0; attempt < 16; ++attempt) {
      std::uint64_t number = 0;
      if (::getrandom(&number, sizeof number, 0) != sizeof number) fail(target_, "no random name");
      path_ = target_.string() + "." + std::to_string(number) + ".tmp";
      descriptor_ =
          ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
      if (descriptor_ >= 0 || errno != EEXIST) break;
    }
    if (descriptor_ < 0) fail(target_, "cannot create a file beside it");
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!published_) ::unlink(path_.c_str());
  }

  void write(std::span<const std::uint8_t> bytes) {
    while (!bytes.empty()) {
      const ::ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail(target_, "cannot write");
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }

  /// Makes the bytes durable, then gives them their name.
  void publish() {
    if (::fsync(descriptor_) != 0) fail(target_, "cannot write to the disk");
    if (::close(std::exchange(descriptor_, -1)) != 0) fail(target_, "cannot close");
    if (std::rename(path_.c_str(), target_.c_str()) != 0) fail(target_, "cannot replace");
    published_ = true;
    const std::filesystem::path folder =
        target_.has_parent_path() ? target_.parent_path() : std::filesystem::path{"."};
    const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return;  // the file is there; only the durability of its name is unknown
    ::fsync(directory);
    ::close(directory);
  }

 private:
  std::filesystem::path target_;
  std::string path_;
  int descriptor_ = -1;
  bool published_ = false;
};

}  // namespace detail

/// Writes a file so that a reader meets the old one or the complete new one, also after a crash.
///
/// errors  io naming the file and the reason; nothing is left behind
inline void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes) {
  detail::TemporaryFile file{path};
  file.write(bytes);
  file.publish();
}

/// Writes an RGB picture as a PNG file.
///
/// shapes  rgb [height, width, 3]
/// errors  those of encode_png and write_file
inline void write_png(const std::filesystem::path& path, std::span<const std::uint8_t> rgb,
                      std::int64_t height, std::int64_t width) {
  write_file(path, encode_png(rgb, height, width));
}

}  // namespace sjd::paint
