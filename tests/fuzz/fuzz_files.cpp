// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string>
#include <string_view>

#include "fuzz_target.hpp"
#include "memory_input.hpp"
#include "paint/costs.hpp"
#include "paint/prompt_file.hpp"
#include "sjd/hosts/corrector_head.hpp"
#include "sjd/hosts/llama_config.hpp"
#include "sjd/hosts/safetensors.hpp"
#include "sjd/hosts/word_tokenizer.hpp"

namespace sjd::fuzz {
namespace {

std::string_view text_of(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What must hold of anything that a reader let pass.
void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

void read_safetensors(std::span<const std::uint8_t> bytes) {
  const MemoryInput memory{text_of(bytes)};
  const hosts::SafetensorsFile file{memory.path()};
  std::int64_t total = 0;
  for (const auto& [name, info] : file.tensors()) {
    total += info.end - info.begin;
    try {
      if (info.type == hosts::TensorType::i32) {
        const auto values = file.read_integers(name, info.shape);
        require(static_cast<std::int64_t>(values.size()) == info.elements);
      } else {
        const auto values = file.read_floats(name, info.shape);
        require(static_cast<std::int64_t>(values.size()) == info.elements);
      }
    } catch (const Error&) {
      // Not finite, or not floating-point: the next tensor may still be read.
    }
  }
  // The tensors tile what lies behind the header, so their sizes add up to it.
  std::uint64_t header = 0;
  for (std::size_t i = 0; i < 8; ++i) header |= std::uint64_t{bytes[i]} << (8 * i);
  require(static_cast<std::uint64_t>(total) == bytes.size() - 8 - header);
}

void read_config(std::span<const std::uint8_t> bytes) {
  const MemoryInput memory{text_of(bytes)};
  const hosts::LlamaConfig config = hosts::read_llama_config(memory.path());
  require(config.hidden_size % 32 == 0 && config.heads % config.kv_heads == 0);
  require(config.image_tokens() >= 1 && config.image_tokens() <= 1'048'576);
  require(config.noise.rho_max >= config.noise.rho_min);
}

void read_tokenizer(std::span<const std::uint8_t> bytes) {
  const MemoryInput memory{text_of(bytes)};
  const auto tokenizer = hosts::WordTokenizer::read(memory.path());
  const hosts::EncodedPrompt prompt = tokenizer.encode("red apple 2 caf\xc3\xa9", 3);
  for (const std::int32_t id : prompt.ids) require(id >= 3 && id < tokenizer.size());
}

void read_prompt(std::span<const std::uint8_t> bytes) {
  static const hosts::WordTokenizer tokenizer = [] {
    const MemoryInput memory{
        R"({"format":"sjd-words","version":1,"words":["<unused>","<image>","<unknown>",)"
        R"("apple","red","2","a"]})"};
    return hosts::WordTokenizer::read(memory.path());
  }();
  const hosts::EncodedPrompt prompt = tokenizer.encode(text_of(bytes), 4);
  require(prompt.ids.size() <= 4);
  for (const std::int32_t id : prompt.ids) require(id >= 3 && id < tokenizer.size());
  std::size_t letters = 0;
  for (const std::string& word : prompt.unknown_words) letters += word.size();
  require(letters <= bytes.size());
}

void read_corrector(std::span<const std::uint8_t> bytes) {
  const MemoryInput memory{text_of(bytes)};
  const auto weights = hosts::read_corrector_weights(memory.path(), 1, 16, hosts::Storage::bf16);
  require(weights.width % 32 == 0 && !weights.neighbours.empty());
  require(weights.now.rows() == 2 * static_cast<std::int64_t>(weights.neighbours.size()));
}

void read_costs(std::span<const std::uint8_t> bytes) {
  const MemoryInput memory{text_of(bytes)};
  const paint::CostFile file = paint::read_costs(memory.path());
  require(!file.tables.empty() && file.threads >= 1);
  // A plan takes as long as its table has rows: one for each input, not one for each batch.
  constexpr std::int64_t batches[] = {1, 3, 5'000};
  const CostAwareWindow window = paint::plan_window(file, batches[bytes.size() % 3], 2, 1);
  const DecodeStatistics seen;
  const std::int64_t rows = window.rows({.committed = 1, .total = 65, .statistics = seen});
  require(rows >= 1 && rows <= 64 && rows <= window.capacity());
}

void read_prompts(std::span<const std::uint8_t> bytes) {
  const MemoryInput memory{text_of(bytes)};
  const paint::PromptFile file = paint::read_prompts(memory.path());
  std::int64_t last = 0;
  std::size_t letters = 0;
  for (const paint::PromptLine& line : file.lines) {
    require(line.number > last);
    require(line.prompt.find('\n') == std::string::npos && !line.prompt.empty());
    last = line.number;
    letters += line.prompt.size() + 1;
  }
  require(letters <= bytes.size() + 1);
}

}  // namespace sjd::fuzz
