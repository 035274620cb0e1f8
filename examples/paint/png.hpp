// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <png.h>
#include <sys/random.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"

namespace sjd::paint {

/// Rows and columns that a picture may have at most.
inline constexpr std::int64_t largest_png_side = 16'384;

/// An RGB picture as the bytes of a PNG file.
///
/// shapes  rgb [height, width, 3]
/// errors  invalid_argument for a wrong size, io if libpng refuses
[[nodiscard]] inline std::vector<std::uint8_t> encode_png(std::span<const std::uint8_t> rgb,
                                                          std::int64_t height, std::int64_t width) {
  expects(height >= 1 && height <= largest_png_side && width >= 1 && width <= largest_png_side &&
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

/// Whether these bytes are a PNG from its signature to its end, every check sum right.
[[nodiscard]] inline bool is_whole_png(std::span<const std::uint8_t> bytes) {
  constexpr std::array<std::uint8_t, 8> signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  constexpr std::size_t around = 12;  // length, type and check sum of a chunk
  if (bytes.size() < 8 || !std::equal(signature.begin(), signature.end(), bytes.begin())) {
    return false;
  }
  for (bytes = bytes.subspan(8); bytes.size() >= around;) {
    const std::uint64_t length = png_get_uint_32(bytes.data());
    if (length > bytes.size() - around) return false;
    const auto checked = bytes.subspan(4, 4 + length);
    const auto sum = ::crc32(0, checked.data(), static_cast<::uInt>(checked.size()));
    if (sum != png_get_uint_32(bytes.data() + 8 + length)) return false;
    const bool last = std::memcmp(checked.data(), "IEND", 4) == 0;
    bytes = bytes.subspan(around + length);
    if (last) return bytes.empty();
  }
  return false;
}

namespace detail {

[[noreturn]] inline void fail(const std::filesystem::path& path, const char* what) {
  throw Error{ErrorCode::io, path.string() + ": " + what + ": " + std::strerror(errno)};
}

/// Makes the name of `path` in its folder durable, as far as the system can say.
inline void sync_folder(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;  // the name is there; only its durability is unknown
  ::fsync(directory);
  ::close(directory);
}

/// A new file beside the one that it will become; removed unless it was published.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::filesystem::path target) : target_{std::move(target)} {
    for (int attempt = 0; attempt < 16; ++attempt) {
      std::uint64_t number = 0;
      if (::getrandom(&number, sizeof number, 0) != sizeof number) fail(target_, "no random name");
      path_ = target_.string() + "." + std::to_string(number) + std::string{suffix};
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

  /// The target of the temporary file of this name; empty if it is not the name of one.
  [[nodiscard]] static std::string target_of(std::string_view name) {
    if (!name.ends_with(suffix)) return {};
    name.remove_suffix(suffix.size());
    const std::size_t dot = name.rfind('.');
    const bool numbered = dot < name.size() - 1 &&
                          name.find_first_not_of("0123456789", dot + 1) == std::string_view::npos;
    return dot != std::string_view::npos && numbered ? std::string{name.substr(0, dot)}
                                                     : std::string{};
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
    sync_folder(target_);
  }

 private:
  static constexpr std::string_view suffix = ".tmp";

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
inline void write_file(const std::filesystem::path& path, std::string_view text) {
  write_file(path, std::span{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
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
