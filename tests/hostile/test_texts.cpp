// SPDX-License-Identifier: Apache-2.0
// Structured bad texts: config.json, tokenizer.json, prompts.
#include <array>
#include <bitset>
#include <iostream>
#include <memory>

#include "hostile/hostile_readers.hpp"
#include "hostile/json_fields.hpp"
#include "sjd/hosts/llama_config.hpp"
#include "sjd/hosts/word_tokenizer.hpp"
#include "support/random_checkpoint.hpp"

namespace sjd::test {
namespace {

using hosts::WordTokenizer;

/// A config.json of one line for each field, so that every value can be replaced.
const std::vector<Field> outer{
    {"format", "\"sjd-llama\""},  {"version", "1"},           {"hidden_size", "64"},
    {"intermediate_size", "96"},  {"num_hidden_layers", "2"}, {"num_attention_heads", "4"},
    {"num_key_value_heads", "2"}, {"head_dim", "32"},         {"rms_norm_eps", "1e-5"},
    {"rope_theta", "1e4"},        {"qk_norm", "true"},        {"text_vocab_size", "9"},
    {"image_vocab_size", "96"},   {"max_prompt_tokens", "5"}, {"image_rows", "9"},
    {"image_columns", "10"},      {"patch_size", "4"}};
const std::vector<Field> noise{{"family", "\"vp\""},
                               {"grid", "4"},
                               {"rho_min", "2.0"},
                               {"rho_max", "16.0"},
                               {"rho_power", "7.0"},
                               {"feed", "\"raw\""},
                               {"normalization", "\"per_channel\""},
                               {"level_embedding", "\"additive\""}};

std::string config_with(const std::string& name, const std::string& value) {
  return "{" + text_of(outer, name, value) + ",\"noise\":{" + text_of(noise, name, value) + "}}";
}

/// Values that are wrong wherever a number, a text or a truth value is expected.
std::vector<std::string> bad_values(const std::string& good) {
  if (good.front() == '"') {
    return {"null",
            "1",
            "true",
            "[]",
            "{}",
            "\"\"",
            "\"x\"",
            good + "1",
            "[" + good + "]",
            "\"\\u0000\"",
            "\"vp\\u001b[31m\"",
            "\"\xff\"",
            "<drop>"};
  }
  std::vector<std::string> values = bad_integers();
  values.insert(values.end(), {"<drop>", "1e308", "-1e-300", "-5"});
  if (good == "true") values.erase(std::find(values.begin(), values.end(), "true"));
  // These are numbers that one real field or another allows.
  const bool real = good.find_first_of(".e") != std::string::npos && good != "true";
  if (real) std::erase_if(values, [](const std::string& v) { return v.starts_with("1"); });
  if (real) std::erase_if(values, [](const std::string& v) { return v.starts_with("9"); });
  return values;
}

HostileReader config_reader() {
  return {"config.json", [](const std::filesystem::path& path) {
            static_cast<void>(hosts::read_llama_config(path));
          }};
}

const std::string good_words =
    "{\"format\": \"sjd-words\", \"version\": 1, \"words\": [\"<unused>\", \"<image>\", "
    "\"<unknown>\", \"apple\", \"red\", \"caf\xc3\xa9\", \"2\"]}";

WordTokenizer tokenizer() {
  const MemoryFile file{good_words};
  return WordTokenizer::read(file.path());
}

}  // namespace

TEST_CASE("hostile: config.json with every field spoilt", "[hostile]") {
  HostileReader reader = config_reader();
  const std::string good = config_with("", "");
  reader.survive(good);
  REQUIRE(reader.accepted == 1);
  for (const std::vector<Field>* part : {&outer, &noise}) {
    for (const Field& field : *part) {
      for (const std::string& value : bad_values(field.good)) {
        reader.refuse(config_with(field.name, value));
      }
      reader.refuse(with(good, "\"" + field.name + "\":", "\"" + field.name + "s\":"), field.name);
      const std::string pair = "\"" + field.name + "\":" + field.good;
      reader.refuse(with(good, pair, pair + "," + pair), "stands twice");
      if (field.good.front() == '"' || field.good == "true") continue;
      if (field.name != "max_prompt_tokens")
        reader.refuse(config_with(field.name, "0"), field.name);
      reader.refuse(config_with(field.name, "1e13"), field.name);
    }
  }
  for (std::size_t size = 0; size < good.size(); ++size) reader.refuse(good.substr(0, size));
  for (const char* size : {"33", "100", "65568", "2147483648"}) {
    reader.refuse(config_with("hidden_size", size), "hidden_size");
  }
  reader.refuse(config_with("num_key_value_heads", "3"), "does not divide");
  reader.refuse(config_with("num_key_value_heads", "8"), "num_key_value_heads");
  reader.refuse(config_with("rho_max", "1.5"), "rho_max");
  reader.refuse(config_with("noise", "0").insert(1, "\"x\":1,"), "x: is not a field");
  reader.refuse(std::string((1U << 20U) + 1, ' ') + good, "is larger than");
  std::cout << reader.summary() << "\n";
}

TEST_CASE("hostile: config.json with every byte changed", "[hostile]") {
  HostileReader reader = config_reader();
  const std::string good = config_with("", "");
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const char c : {'\0', '"', '{', '}', '[', ']', ',', ':', '0', '9', '-', '.', '\xff'}) {
      std::string bad = good;
      bad[at] = c;
      reader.survive(bad);
    }
    reader.survive(std::string{good}.erase(at, 1));
  }
  CHECK(reader.survived > 1'000);
  std::cout << reader.summary() << " (bytes)\n";
}

TEST_CASE("hostile: tokenizer.json with every entry spoilt", "[hostile]") {
  HostileReader reader{"tokenizer.json", [](const std::filesystem::path& path) {
                         static_cast<void>(WordTokenizer::read(path));
                       }};
  reader.survive(good_words);
  REQUIRE(reader.accepted == 1);
  for (const char* word : {"<unused>", "<image>", "<unknown>", "apple", "red", "2"}) {
    const std::string quoted = "\"" + std::string{word} + "\"";
    std::vector<std::string> values{"null",
                                    "1",
                                    "true",
                                    "[]",
                                    "{}",
                                    "[\"a\"]",
                                    "\"\"",
                                    "\"A\"",
                                    "\"a b\"",
                                    "\"<0x-1>\"",
                                    "\"<0xFFFFFFFFFF>\"",
                                    "\"a\\u0000\"",
                                    "\"\\n\"",
                                    "\"-\"",
                                    "\"caf\xc3\xa9\"",
                                    "\"" + std::string(1'025, 'a') + "\""};
    for (const std::string& broken : broken_utf8()) values.push_back("\"a" + broken + "\"");
    for (const std::string& value : values) reader.refuse(with(good_words, quoted, value));
  }
  for (std::size_t size = 0; size < good_words.size(); ++size) {
    reader.refuse(good_words.substr(0, size));
  }
  for (const std::string& value : bad_integers()) {
    reader.refuse(with(good_words, "\"version\": 1", "\"version\": " + value));
  }
  std::string many = "[0";
  for (int i = 0; i < (1 << 20); ++i) many += ",0";
  reader.refuse("{\"words\":" + many + "]}", "too many");
  std::cout << reader.summary() << "\n";
}

TEST_CASE("hostile: prompts that are no text", "[hostile]") {
  const WordTokenizer words = tokenizer();
  std::int64_t refused = 0;
  const auto refuse = [&](const std::string& prompt, const std::string& part) {
    try {
      static_cast<void>(words.encode(prompt, 12));
      FAIL("a bad prompt was read");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_argument);
      CHECK(std::string{error.what()}.find(part) != std::string::npos);
    }
    refused += 1;
  };
  for (const std::string& broken : broken_utf8()) {
    refuse(broken, "no UTF-8 at byte 0");
    refuse("red " + broken, "no UTF-8 at byte 4");
    refuse("caf\xc3\xa9 " + broken + " red", "no UTF-8 at byte 6");
  }
  refuse(std::string(65'537, 'a'), "longer than 65536");
  CHECK(words.encode(std::string(65'536, 'a'), 12).unknown_words.size() == 1);
  std::string many;
  for (int i = 0; i < 16'000; ++i) many += "red ";
  const auto prompt = words.encode(many, 12);
  CHECK(prompt.ids.size() == 12);
  CHECK(prompt.surplus_words.size() == 16'000 - 12);
  CHECK(words.encode(std::string{"red\0apple", 9}, 12).ids == std::vector<std::int32_t>{4, 3});
  std::cout << "H1 prompt: " << refused << " bad inputs refused\n";
}

TEST_CASE("hostile: UTF-8 is judged as a table of all characters says", "[hostile]") {
  // Whatever up to 3 bytes encode, by the definition: from code point to bytes.
  const auto table = std::make_unique<std::bitset<1U << 24U>>();
  auto& three = *table;
  std::bitset<1U << 16U> two;
  for (std::uint32_t c = 0x80; c < 0x800; ++c) {
    two.set(((0xC0U | (c >> 6U)) << 8U) | (0x80U | (c & 63U)));
  }
  for (std::uint32_t c = 0x800; c < 0x10000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    three.set(((0xE0U | (c >> 12U)) << 16U) | ((0x80U | ((c >> 6U) & 63U)) << 8U) |
              (0x80U | (c & 63U)));
  }
  const auto one = [](std::uint32_t byte) { return byte < 0x80U; };
  std::int64_t wrong = 0;
  for (std::uint32_t w = 0; w < (1U << 24U); ++w) {
    const std::uint32_t a = w >> 16U, b = (w >> 8U) & 255U, c = w & 255U;
    const bool valid = three[w] || (one(a) && two[w & 0xFFFFU]) || (two[w >> 8U] && one(c)) ||
                       (one(a) && one(b) && one(c));
    const std::array<char, 3> bytes{static_cast<char>(a), static_cast<char>(b),
                                    static_cast<char>(c)};
    const bool found = hosts::detail::valid_utf8_prefix({bytes.data(), 3}) == 3;
    wrong += valid == found ? 0 : 1;
  }
  CHECK(wrong == 0);
  for (std::uint32_t c = 0x10000; c < 0x120000; ++c) {
    const std::array<char, 4> bytes{
        static_cast<char>(0xF0U | (c >> 18U)), static_cast<char>(0x80U | ((c >> 12U) & 63U)),
        static_cast<char>(0x80U | ((c >> 6U) & 63U)), static_cast<char>(0x80U | (c & 63U))};
    wrong += (hosts::detail::utf8_length({bytes.data(), 4}) == 4) == (c < 0x110000) ? 0 : 1;
  }
  CHECK(wrong == 0);
  std::cout << "H2 UTF-8: " << (1U << 24U) << " strings of 3 bytes, 1114112 of 4\n";
}

}  // namespace sjd::test
