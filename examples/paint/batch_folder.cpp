// SPDX-License-Identifier: Apache-2.0
#include "batch_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <sjd/core/error.hpp>
#include <sjd/hosts/detail/input_file.hpp>
#include <span>
#include <string_view>
#include <utility>

#include "exit_codes.hpp"
#include "png.hpp"

namespace sjd::paint {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& reason) {
  throw UsageError{"--output " + path.string() + ": " + reason};
}

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

/// Throws with the first line that differs.
void compare_manifests(const std::filesystem::path& folder, std::string_view found,
                       std::string_view wanted) {
  while (!found.empty() || !wanted.empty()) {
    const std::string_view old_line = take_line(found);
    const std::string_view new_line = take_line(wanted);
    if (old_line == new_line) continue;
    refuse(folder, "is a batch made otherwise, \"" + hosts::detail::printable(old_line) +
                       "\" where this one has \"" + std::string{new_line} +
                       "\"; name another directory");
  }
}

}  // namespace

BatchFolder::BatchFolder(std::filesystem::path path, const std::string& manifest,
                         std::set<std::string> names)
    : path_{std::move(path)}, names_{std::move(names)} {
  lock();
  try {
    claim(manifest);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

BatchFolder::~BatchFolder() {
  ::close(descriptor_);
}

void BatchFolder::lock() {
  const bool made = ::mkdir(path_.c_str(), 0777) == 0;
  if (!made && errno != EEXIST) detail::fail(path_, "cannot make the directory");
  if (made) detail::sync_folder(path_);
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor_ < 0) detail::fail(path_, "cannot open the directory");
  // The system lets go of it however this program ends.
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    ::close(descriptor_);
    errno = reason;
    if (reason != EWOULDBLOCK) detail::fail(path_, "cannot lock the directory");
    throw Error{ErrorCode::io, path_.string() + ": another program paints into it"};
  }
}

void BatchFolder::claim(const std::string& manifest) const {
  const std::filesystem::path file = path_ / manifest_name;
  constexpr std::int64_t most_bytes = 65'536;
  check_writable(file);
  const bool known = std::filesystem::exists(file);
  if (known) {
    compare_manifests(path_, hosts::detail::read_text(file, most_bytes), manifest);
  } else {
    refuse_strangers();
  }
  remove_leftovers();
  const std::span bytes{reinterpret_cast<const std::uint8_t*>(manifest.data()), manifest.size()};
  if (!known) write_file(file, bytes);
}

void BatchFolder::refuse_strangers() const {
  for (const auto& entry : std::filesystem::directory_iterator{path_}) {
    const std::string name = entry.path().filename().string();
    if (is_leftover(name)) continue;
    refuse(path_, "holds \"" + hosts::detail::printable(name) + "\" and no " + manifest_name +
                      ", so it is not the directory of a batch");
  }
}

void BatchFolder::remove_leftovers() const {
  for (const auto& entry : std::filesystem::directory_iterator{path_}) {
    if (is_leftover(entry.path().filename().string())) std::filesystem::remove(entry.path());
  }
}

bool BatchFolder::is_leftover(const std::string& name) const {
  const std::string target = detail::TemporaryFile::target_of(name);
  return target == manifest_name || names_.contains(target);
}

bool BatchFolder::holds(const std::string& name) const {
  constexpr std::int64_t most_bytes = std::int64_t{1} << 30;
  const std::filesystem::path file = path_ / name;
  if (!std::filesystem::is_regular_file(file)) return false;
  const std::string bytes = hosts::detail::read_text(file, most_bytes);
  return is_whole_png({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

void BatchFolder::put(const std::string& name, const Raster& picture) const {
  write_picture(path_ / name, picture);
}

}  // namespace sjd::paint
