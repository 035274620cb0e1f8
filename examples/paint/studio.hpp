// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compositions.hpp"
#include "raster.hpp"

namespace sjd::paint {

/// Which model to load and how to run it.
struct StudioOptions {
  std::filesystem::path model;  ///< empty: find_model()
  std::string weights = "sjd2";
  std::int64_t sequences = 1;  ///< pictures that one pass may carry
  int threads = 0;             ///< 0: every core that this process may use
  std::string device = "cpu";  ///< "cpu" or "cuda"
};

/// SJD_MODEL, else the model that lies in the source tree.
[[nodiscard]] std::filesystem::path find_model();

/// Cores that this process may use.
[[nodiscard]] int usable_cores();

/// A prompt as the model reads it, and what had to be left out of it.
struct ReadPrompt {
  WordIds ids;
  std::vector<std::string> unknown_words;
  std::vector<std::string> surplus_words;  ///< known, but more than the model takes
};

/// A model directory, loaded: words in, tokens and pixels out.
///
/// errors  io and bad_file from the readers of the host; UsageError for a device that is not there
class Studio {
 public:
  explicit Studio(const StudioOptions& options);
  Studio(const Studio&) = delete;
  Studio& operator=(const Studio&) = delete;
  ~Studio();

  [[nodiscard]] Engine& engine();
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t columns() const { return columns_; }
  [[nodiscard]] std::int64_t tokens() const { return rows_ * columns_; }
  [[nodiscard]] std::int64_t max_words() const { return max_words_; }

  /// Whether decodes that equal AR bit for bit do so on this device.
  [[nodiscard]] bool row_invariant() const;

  /// Whether the weights were trained on noise.
  [[nodiscard]] bool has_corrector() const;
  [[nodiscard]] bool accepts_noise() const;

  /// Values of K that the checkpoint was trained for, ascending.
  [[nodiscard]] std::vector<std::int32_t> level_counts() const;

  [[nodiscard]] ReadPrompt read(std::string_view prompt) const;

  /// The words that a prompt may hold, in the order of their ids.
  [[nodiscard]] std::vector<std::string> words() const;

  /// Pixels of a picture before it is scaled up.
  [[nodiscard]] std::int64_t picture_width() const;
  [[nodiscard]] std::int64_t picture_height() const;

  /// The picture of a finished sequence of tokens.
  [[nodiscard]] Raster picture(std::span<const TokenId> tokens) const;

  /// The codebook's pixels of each code [codes][patch, patch], for previews and traces.
  [[nodiscard]] std::vector<Raster> patches() const;

 private:
  struct Parts;

  std::filesystem::path directory_;
  int threads_;
  std::unique_ptr<Parts> parts_;
  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
  std::int64_t max_words_ = 0;
};

/// What this model is painted with if nobody says otherwise: corrected if it has a head.
[[nodiscard]] const Composition& default_composition(const Studio& studio);

}  // namespace sjd::paint
