// SPDX-License-Identifier: Apache-2.0
#include "trace.hpp"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "raster.hpp"

namespace sjd::paint {
namespace {

std::string hex_of(const std::vector<Raster>& patches) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const Raster& patch : patches) {
    for (const std::uint8_t byte : patch.rgb) {
      text += digits[byte >> 4U];
      text += digits[byte & 15U];
    }
  }
  return text;
}

const std::filesystem::path& writable(const std::filesystem::path& path) {
  check_writable(path);
  return path;
}

}  // namespace

Trace::Trace(const std::filesystem::path& path, const Studio& studio,
             const Composition& composition, const Options& options)
    : file_{writable(path)}, written_(static_cast<std::size_t>(options.count), 0) {
  const std::vector<Raster> patches = studio.patches();
  nlohmann::ordered_json header;
  header["format"] = "sjd-trace";
  header["version"] = 1;
  header["prompt"] = options.prompt;
  header["decoder"] = composition.decoder;
  header["coupling"] = composition.coupling;
  header["lossless"] = composition.is_lossless;
  header["seed"] = options.seed;
  header["pictures"] = options.count;
  header["rows"] = studio.config().image_rows;
  header["columns"] = studio.config().image_columns;
  header["patch"] = patches.front().width;
  header["codebook"] = hex_of(patches);
  write_line(header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void Trace::on_iteration(const IterationEvent& event) {
  const DecoderState& state = event.state;
  std::size_t& written = written_[state.sample];
  nlohmann::ordered_json line;
  line["picture"] = state.sample;
  line["iteration"] = state.iteration;
  line["rows"] = event.rows;
  line["accepted"] = event.accepted;
  line["committed"] = std::vector<TokenId>(
      state.tokens.begin() + static_cast<std::ptrdiff_t>(written), state.tokens.end());
  written = state.tokens.size();
  std::vector<std::int32_t> levels;
  std::vector<TokenId> drafts;
  for (const Slot& slot : state.window) {
    levels.push_back(slot.level);
    drafts.push_back(slot.token);
  }
  line["levels"] = levels;
  line["drafts"] = drafts;
  write_line(line.dump());
}

void Trace::publish() {
  file_.publish();
}

void Trace::write_line(std::string_view text) {
  const std::string line = std::string{text} + "\n";
  file_.write({reinterpret_cast<const std::uint8_t*>(line.data()), line.size()});
}

}  // namespace sjd::paint
