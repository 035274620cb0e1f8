// SPDX-License-Identifier: Apache-2.0
// What a host believes of its caches when passes run that nobody reports.
#include <cstdint>
#include <vector>

#include "sjd/hosts/llama_book.hpp"
#include "support/catch.hpp"

namespace sjd::hosts {
namespace {

LlamaConfig small_config() {
  LlamaConfig config;
  config.hidden_size = 4;
  config.image_vocab_size = 8;
  config.text_vocab_size = 8;
  config.max_prompt_tokens = 4;
  config.image_rows = config.image_columns = 4;
  return config;
}

/// Whether a pass that keeps `length` rows is taken after a prompt.
bool takes(LlamaBook& book, std::int64_t length) {
  std::vector<float> numbers(8);
  const std::vector<KeepLength> keep{{0, 0, length}};
  const std::vector<InputRow> rows{{0, 0, length, 1}};
  ForwardPass<> pass;
  pass.keep_length = keep;
  pass.rows = rows;
  pass.logits = {numbers.data(), 1, 8};
  try {
    book.check_pass(pass);
    return true;
  } catch (const Error& error) {
    REQUIRE(error.code() == ErrorCode::contract);
    return false;
  }
}

}  // namespace

TEST_CASE("a book believes any length once passes run unseen, after later prompts too") {
  const LlamaConfig config = small_config();
  LlamaBook book{config, false, 1, "Book"};
  const auto prefill = [&] {
    book.forget(0);
    book.note_prefill(0, 2, 1);
  };
  prefill();
  REQUIRE(takes(book, 0));
  REQUIRE_FALSE(takes(book, 5));
  book.note_unseen_passes();
  REQUIRE(takes(book, 5));
  prefill();
  REQUIRE(takes(book, 5));
}

}  // namespace sjd::hosts
