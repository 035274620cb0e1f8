// SPDX-License-Identifier: Apache-2.0
// Writes a small model directory with random weights, complete enough for paint and bench:
// write_model DIR
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "support/random_checkpoint.hpp"

namespace {

constexpr std::int64_t entries = 6;

std::string prompts_json() {
  std::string text = "{\"format\": \"sjd-prompts\", \"version\": 1";
  for (const char* split : {"train", "new_combinations", "new_concepts"}) {
    text.append(", \"").append(split).append("\": [");
    for (std::int64_t i = 0; i < entries; ++i) {
      const char* prompt = i % 2 == 0 ? "red apple" : "blue heart cherry";
      if (i > 0) text.append(", ");
      text.append("{\"prompt\": \"").append(prompt).append("\", \"name\": \"").append(prompt);
      text.append("\", \"family\": \"fruit\", \"codepoints\": \"1f34e\"}");
    }
    text.append("]");
  }
  return text + "}";
}

/// codes.safetensors: true pictures of every split, here white ones.
void write_codes(const std::filesystem::path& path, std::int64_t tokens) {
  std::string header = "{";
  const std::int64_t bytes = entries * tokens * 4;
  std::int64_t begin = 0;
  for (const char* split : {"train", "new_combinations", "new_concepts"}) {
    if (begin > 0) header.append(",");
    header.append("\"").append(split).append("\":{\"dtype\":\"I32\",\"shape\":[");
    header.append(std::to_string(entries)).append(",").append(std::to_string(tokens));
    header.append("],\"data_offsets\":[").append(std::to_string(begin)).append(",");
    header.append(std::to_string(begin + bytes)).append("]}");
    begin += bytes;
  }
  const std::string body(static_cast<std::size_t>(begin), '\0');
  sjd::test::write_bytes(path, sjd::test::safetensors_bytes(header + "}", body));
}

void write_model(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const sjd::hosts::LlamaConfig config = sjd::test::tiny_shape();
  sjd::test::write_random_model(folder, config, 5);
  sjd::test::write_safetensors(folder / "decoder.safetensors",
                               sjd::test::random_decoder(config.image_vocab_size, 32, 32, 32, 6));
  sjd::test::write_bytes(folder / "tokenizer.json",
                         "{\"format\": \"sjd-words\", \"version\": 1, \"words\": [\"<unused>\", "
                         "\"<image>\", \"<unknown>\", \"apple\", \"red\", \"blue\", \"heart\", "
                         "\"cherry\", \"knife\"]}");
  sjd::test::write_bytes(folder / "prompts.json", prompts_json());
  write_codes(folder / "codes.safetensors", config.image_tokens());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_model DIR\n");
    return 64;
  }
  try {
    write_model(argv[1]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "write_model: %s\n", error.what());
    return 74;
  }
}
