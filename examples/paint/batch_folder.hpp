// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "raster.hpp"

namespace sjd::paint {

/// The directory of a batch. While it lives no other program may paint into it.
///
/// A picture is done when a whole PNG stands under its name: names are given to finished files
/// only, so nothing else needs to be written down. The manifest batch.txt holds whatever decides
/// the bytes of the pictures, in lines "name value"; a directory with another one is refused.
class BatchFolder {
 public:
  static constexpr const char* manifest_name = "batch.txt";

  /// Makes the directory unless it is there, and removes what a killed run left in it.
  ///
  /// `names`: the files that the batch will have.
  /// errors  io naming the directory: it cannot be made or written, is none, or is in use;
  ///         UsageError: it has another manifest (with the first line that differs), or holds other
  ///         files and no manifest; nothing was changed then
  BatchFolder(std::filesystem::path path, const std::string& manifest, std::set<std::string> names);
  BatchFolder(const BatchFolder&) = delete;
  BatchFolder& operator=(const BatchFolder&) = delete;
  ~BatchFolder();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  /// Whether the picture of this name is there, every check sum right.
  [[nodiscard]] bool holds(const std::string& name) const;

  /// Publishes a picture under its name, durable when this returns.
  ///
  /// errors  io; nothing half-written is left
  void put(const std::string& name, const Raster& picture) const;

 private:
  void lock();
  void claim(const std::string& manifest) const;
  void refuse_strangers() const;
  void remove_leftovers() const;
  [[nodiscard]] bool is_leftover(const std::string& name) const;

  std::filesystem::path path_;
  std::set<std::string> names_;
  int descriptor_ = -1;
};

}  // namespace sjd::paint
