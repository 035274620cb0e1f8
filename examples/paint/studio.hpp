// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <sjd/hosts/picture_decoder.hpp>
#include <sjd/hosts/word_tokenizer.hpp>
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
};

/// SJD_MODEL, else the model that lies in the source tree.
[[nodiscard]] std::filesystem::path find_model();

/// Cores that this process may use.
[[nodiscard]] int usable_cores();

/// A model directory, loaded: words in, tokens and pixels out.
///
/// errors  io and bad_file from the readers of the host
class Studio {
 public:
  explicit Studio(const StudioOptions& options);

  [[nodiscard]] Engine& engine() { return engine_; }
  [[nodiscard]] const Engine& engine() const { return engine_; }
  [[nodiscard]] const hosts::LlamaConfig& config() const { return engine_.config(); }
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] std::int64_t tokens() const { return config().image_tokens(); }

  [[nodiscard]] hosts::EncodedPrompt encode(std::string_view prompt) const;

  /// The words that a prompt may hold, in the order of their ids.
  [[nodiscard]] std::vector<std::string> words() const;

  /// Values of K that the checkpoint was trained for, ascending.
  [[nodiscard]] std::vector<std::int32_t> level_counts() const;

  /// The picture of a finished sequence of tokens.
  [[nodiscard]] Raster picture(std::span<const TokenId> tokens) const;

  /// The codebook's pixels of each code [codes][patch, patch, 3], for previews and traces.
  [[nodiscard]] std::vector<Raster> patches() const;

 private:
  std::filesystem::path directory_;
  int threads_;
  Engine engine_;
  hosts::WordTokenizer tokenizer_;
  hosts::PictureDecoder decoder_;
};

}  // namespace sjd::paint
