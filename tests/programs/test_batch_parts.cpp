// SPDX-License-Identifier: Apache-2.0
// What a batch of pictures is made of: prompt files, whole pictures, names of temporary files.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "png.hpp"
#include "prompt_file.hpp"
#include "support/catch.hpp"

using namespace sjd;

namespace {

std::vector<std::uint8_t> small_png() {
  std::vector<std::uint8_t> rgb(std::size_t{8} * 9 * 3);
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * i % 251);
  return paint::encode_png(rgb, 8, 9);
}

paint::PromptFile read_text(const std::string& text) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() /
                                     ("sjd_prompts_" + std::to_string(::getpid()) + ".txt");
  std::ofstream{path, std::ios::binary} << text;
  const auto file = paint::read_prompts(path);
  std::filesystem::remove(path);
  return file;
}

}  // namespace

TEST_CASE("a picture is whole only with every byte as it was written") {
  const std::vector<std::uint8_t> whole = small_png();
  CHECK(paint::is_whole_png(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO("cut to " << size << " of " << whole.size());
    CHECK_FALSE(paint::is_whole_png({whole.data(), size}));
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    INFO("byte " << i << " of " << whole.size());
    std::vector<std::uint8_t> changed = whole;
    changed[i] ^= 0x20U;
    CHECK_FALSE(paint::is_whole_png(changed));
  }
  std::vector<std::uint8_t> longer = whole;
  longer.push_back(0);
  CHECK_FALSE(paint::is_whole_png(longer));
}

TEST_CASE("a temporary file says what it would have become") {
  using paint::detail::TemporaryFile;
  CHECK(TemporaryFile::target_of("a.png.123.tmp") == "a.png");
  CHECK(TemporaryFile::target_of("batch.txt.0.tmp") == "batch.txt");
  for (const char* other : {"", ".tmp", "1.tmp", "a.png", "a.png.tmp", "a.png..tmp",
                            "a.png.12x.tmp", "a.png.123.tmp~", ".tmp.123"}) {
    CHECK(TemporaryFile::target_of(other).empty());
  }
}

TEST_CASE("a prompt file has one prompt a line, and blank lines count") {
  const paint::PromptFile file = read_text("\n red apple \r\n \t\n\r\nknife\nlast");
  REQUIRE(file.lines.size() == 3);
  CHECK(file.lines[0].number == 2);
  CHECK(file.lines[0].prompt == " red apple ");
  CHECK(file.lines[1].number == 5);
  CHECK(file.lines[1].prompt == "knife");
  CHECK(file.lines[2].number == 6);
  CHECK(file.lines[2].prompt == "last");
  CHECK(read_text("a\n").digest != read_text("a").digest);
  CHECK_THROWS_AS(read_text(" \n\n"), Error);
}
