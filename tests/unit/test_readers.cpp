// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "sjd/hosts/json.hpp"
#include "sjd/hosts/llama.hpp"
#include "sjd/hosts/llama_config.hpp"
#include "sjd/hosts/safetensors.hpp"
#include "sjd/hosts/word_tokenizer.hpp"
#include "support/catch.hpp"
#include "support/random_checkpoint.hpp"

namespace {

using sjd::Error;
using sjd::ErrorCode;
using sjd::hosts::JsonField;
using sjd::hosts::JsonLimits;
using sjd::hosts::SafetensorsFile;
using sjd::hosts::WordTokenizer;
using sjd::test::safetensors_bytes;
using sjd::test::TemporaryDirectory;
using sjd::test::write_bytes;

/// Calls and expects an Error with this code whose text has all the parts.
template <class Call>
void refused(ErrorCode code, const std::vector<std::string>& parts, Call&& call) {
  try {
    call();
    FAIL("nothing was thrown; expected " << parts.back());
  } catch (const Error& error) {
    CHECK(error.code() == code);
    const std::string text = error.what();
    CAPTURE(text);
    for (const std::string& part : parts) {
      CAPTURE(part);
      CHECK(text.find(part) != std::string::npos);
    }
  }
}

std::string entry(const std::string& name, const std::string& type, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":[" + shape +
         "],\"data_offsets\":[" + offsets + "]}";
}

/// A file that must be refused as bad, naming the file and `reason`.
void refuse_tensors(const std::string& bytes, const std::string& reason) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "bad.safetensors";
  write_bytes(path, bytes);
  refused(ErrorCode::bad_file, {"bad.safetensors: ", reason}, [&] { SafetensorsFile{path}; });
}

void refuse_header(const std::string& header, const std::string& body, const std::string& reason) {
  CAPTURE(header);
  refuse_tensors(safetensors_bytes(header, body), reason);
}

void refuse_json(const std::string& text, const std::string& reason, JsonLimits limits = {}) {
  CAPTURE(text);
  refused(ErrorCode::bad_file, {"a.json: ", reason},
          [&] { static_cast<void>(JsonField::parse(text, "a.json", limits)); });
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a safetensors file is read exactly", "[readers]") {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "good.safetensors";
  const std::string body{"\x00\x3c\x01\x00\xff\xff\xff\xff\x00\x00\x80\x3f\x80\x3f", 14};
  write_bytes(path, safetensors_bytes(
                        "{\"__metadata__\":{\"a\":\"b\"}," + entry("h", "F16", "2", "0,4") + "," +
                            entry("i", "I32", "1", "4,8") + "," + entry("f", "F32", "", "8,12") +
                            "," + entry("b", "BF16", "1,1", "12,14") + "," +
                            entry("none", "U8", "0,7", "14,14") + "}   ",
                        body));
  const SafetensorsFile file{path};
  CHECK(file.tensors().size() == 5);
  CHECK(file.read_floats("h", std::vector<std::int64_t>{2}) == std::vector<float>{1.0F, 0x1p-24F});
  CHECK(file.read_integers("i", std::vector<std::int64_t>{1}) == std::vector<std::int32_t>{-1});
  CHECK(file.read_floats("f", {}) == std::vector<float>{1.0F});
  CHECK(file.read_floats("b", std::vector<std::int64_t>{1, 1}) == std::vector<float>{1.0F});
  const auto name = path.string();
  refused(ErrorCode::bad_file, {name, "f: ", "[] where [1]"},
          [&] { static_cast<void>(file.read_floats("f", std::vector<std::int64_t>{1})); });
  refused(ErrorCode::bad_file, {name, "i: is not a floating-point tensor"},
          [&] { static_cast<void>(file.read_floats("i", std::vector<std::int64_t>{1})); });
  refused(ErrorCode::bad_file, {name, "x: is missing"},
          [&] { static_cast<void>(file.read_floats("x", {})); });
}

TEST_CASE("halves are widened exactly", "[readers]") {
  using sjd::hosts::half_to_float;
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const float value = half_to_float(static_cast<std::uint16_t>(bits));
    const double fraction = static_cast<double>(bits & 1023U) / 1024.0;
    const int exponent = static_cast<int>((bits >> 10U) & 31U);
    const double sign = (bits & 0x8000U) != 0 ? -1.0 : 1.0;
    if (exponent == 31) {
      REQUIRE((fraction == 0.0 ? std::isinf(value) : std::isnan(value)));
      continue;
    }
    const double expected =
        exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1.0 + fraction, exponent - 15);
    REQUIRE(static_cast<double>(value) == sign * expected);
    REQUIRE(std::signbit(value) == (sign < 0.0));
  }
}

TEST_CASE("malformed safetensors files are refused", "[readers]") {
  const std::string four(4, '\0');
  refuse_tensors("", "too short");
  refuse_tensors("1234567", "too short");
  refuse_tensors(std::string(8, '\xff') + "{}", "the header length is 18446744073709551615");
  refuse_tensors(std::string{"\x05\0\0\0\0\0\0\0{}  ", 12}, "the header length is 5");
  refuse_header(" {}", "", "does not begin with '{'");
  refuse_header("[]", "", "does not begin with '{'");
  refuse_header("{ ", "", "byte ");
  refuse_header("{}{}", "", "byte ");
  refuse_header("{}", four, "bytes lie behind the last tensor");
  refuse_header("{" + entry("a", "F32", "1", "0,4") + "}", "", "data_offsets[1]: is 4, outside");
  refuse_header("{" + entry("a", "F32", "1", "4,8") + "}", four + four, "a: leaves a gap");
  refuse_header("{" + entry("a", "F32", "1", "0,4") + "," + entry("b", "F32", "1", "0,4") + "}",
                four, "b: overlaps another tensor");
  refuse_header("{" + entry("a", "F32", "1", "0,4") + "," + entry("b", "F32", "1", "2,6") + "}",
                four + four, "b: overlaps another tensor");
  refuse_header("{" + entry("a", "F32", "1", "0,4") + "," + entry("a", "F32", "1", "4,8") + "}",
                four + four, "a: the key stands twice");
  refuse_header("{" + entry("a", "F32", "2", "0,4") + "}", four, "needs 8 bytes, the file gives 4");
  refuse_header("{" + entry("a", "F32", "1", "4,0") + "}", four, "data_offsets[1]: is 0, outside");
  refuse_header("{" + entry("a", "F32", "-1", "0,4") + "}", four, "a.shape[0]: is -1, outside");
  refuse_header("{" + entry("a", "F32", "1.0", "0,4") + "}", four, "is not a whole number");
  refuse_header("{" + entry("a", "F32", "4294967296,4294967296,4294967296", "0,4") + "}", four,
                "is too large");
  refuse_header("{" + entry("a", "F32", "4611686018427387904", "0,0") + "}", "", "is too large");
  refuse_header("{" + entry("a", "F32", "18446744073709551615", "0,4") + "}", four,
                "the number is too large");
  refuse_header("{" + entry("a", "F64", "1", "0,8") + "}", four + four, "\"F64\" is not supported");
  refuse_header("{" + entry("a", "F32", "1,1,1,1,1,1,1,1,1", "0,4") + "}", four,
                "more than 8 dimensions");
  refuse_header("{" + entry("", "F32", "1", "0,4") + "}", four, "bad length");
  refuse_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", four, "data_offsets");
  refuse_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", four,
                "a.x: is not a field");
  refuse_header("{\"a\":[[[[]]]]}", "", "nested too deeply");
  refuse_header("{\"__metadata__\":{\"a\":1}}", "", "is not a text");
  refuse_header("{\"\\u001b[31m\":1}", "", "\\x1b[31m: is not an object");
}

TEST_CASE("values that are not finite are refused", "[readers]") {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "nan.safetensors";
  write_bytes(path, safetensors_bytes("{" + entry("a", "BF16", "1", "0,2") + "}",
                                      std::string{"\xc0\x7f", 2}));
  refused(ErrorCode::bad_file, {"a: holds a value that is not finite"}, [&] {
    static_cast<void>(SafetensorsFile{path}.read_floats("a", std::vector<std::int64_t>{1}));
  });
}

TEST_CASE("what is not a regular file is refused at once", "[readers]") {
  const TemporaryDirectory directory;
  const auto fifo = directory.path() / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  refused(ErrorCode::bad_file, {"fifo: is not a regular file"}, [&] { SafetensorsFile{fifo}; });
  refused(ErrorCode::bad_file, {"is not a regular file"},
          [&] { SafetensorsFile{directory.path()}; });
  refused(ErrorCode::io, {"missing: cannot open: "},
          [&] { SafetensorsFile{directory.path() / "missing"}; });
  refused(ErrorCode::io, {"missing: cannot open: "},
          [&] { static_cast<void>(JsonField::read(directory.path() / "missing")); });
}

TEST_CASE("JSON is refused where it is not plain", "[readers]") {
  refuse_json("", "byte ");
  refuse_json("{\"a\":1,\"a\":2}", "a: the key stands twice");
  refuse_json("{\"o\":{\"a\":1,\"b\":{\"a\":1},\"b\":2}}", "b: the key stands twice");
  refuse_json("[NaN]", "byte ");
  refuse_json("[1e999]", "byte ");
  refuse_json("[9223372036854775808]", "the number is too large");
  refuse_json("[1] x", "byte ");
  refuse_json("[\"\xff\"]", "byte ");
  refuse_json(std::string(33, '[') + std::string(33, ']'), "nested too deeply");
  refuse_json(std::string(1'000'000, '['), "nested too deeply");
  refuse_json("[1,2,3]", "too many values", {.values = 3});
  const TemporaryDirectory directory;
  write_bytes(directory.path() / "big.json", "[1,2,3,4]");
  refused(ErrorCode::bad_file, {"big.json: is larger than 8 bytes"},
          [&] { static_cast<void>(JsonField::read(directory.path() / "big.json", {.bytes = 8})); });
}

TEST_CASE("JSON fields are checked and named", "[readers]") {
  const auto json = JsonField::parse(
      R"({"n": {"i": 7, "r": 0.5, "b": true, "t": "x", "l": [1, [2]]}})", "a.json");
  const JsonField n = json["n"];
  CHECK(n["i"].integer(7, 7) == 7);
  CHECK(n["i"].real(0.0, 10.0) == 7.0);
  CHECK(n["r"].real(0.5, 0.5) == 0.5);
  CHECK(n["b"].boolean());
  CHECK(n["t"].text() == "x");
  CHECK(n["l"].items()[1].items()[0].integer(0, 9) == 2);
  n.only({"i", "r", "b", "t", "l"});
  const auto fails = [](const std::string& text, auto call) {
    refused(ErrorCode::bad_file, {"a.json: " + text}, call);
  };
  fails("n: has no field \"x\"", [&] { static_cast<void>(n["x"]); });
  fails("n.t: is not a field", [&] { n.only({"i", "r", "b", "l"}); });
  fails("n.i: is 7, outside [8, 9]", [&] { static_cast<void>(n["i"].integer(8, 9)); });
  fails("n.r: is not a whole number", [&] { static_cast<void>(n["r"].integer(0, 9)); });
  fails("n.r: is 0.5", [&] { static_cast<void>(n["r"].real(1.0, 2.0)); });
  fails("n.t: is not a number", [&] { static_cast<void>(n["t"].real(1.0, 2.0)); });
  fails("n.i: is not true or false", [&] { static_cast<void>(n["i"].boolean()); });
  fails("n.i: is not a text", [&] { static_cast<void>(n["i"].text()); });
  fails("n.i: is not an object", [&] { static_cast<void>(n["i"]["x"]); });
  fails("n.l[1]: is not an object", [&] { static_cast<void>(n["l"].items()[1]["x"]); });
  fails("n.l[1][0]: is not an array",
        [&] { static_cast<void>(n["l"].items()[1].items()[0].items()); });
}

TEST_CASE("config.json is checked field by field", "[readers]") {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "config.json";
  const std::string good = sjd::test::config_json(sjd::test::full_shape());
  write_bytes(path, good);
  CHECK(sjd::hosts::read_llama_config(path).image_tokens() == 256);
  const auto refuse = [&](const std::string& from, const std::string& to,
                          const std::string& reason) {
    write_bytes(path, replaced(good, from, to));
    refused(ErrorCode::bad_file, {"config.json: ", reason},
            [&] { static_cast<void>(sjd::hosts::read_llama_config(path)); });
  };
  refuse("sjd-llama", "other", "format: is not");
  refuse("\"version\": 1", "\"version\": 2", "version: is 2, outside [1, 1]");
  refuse("\"hidden_size\": 256", "\"hidden_size\": 250", "hidden_size: is not a multiple of 32");
  refuse("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "does not divide");
  refuse("\"num_hidden_layers\": 6", "\"num_hidden_layers\": 0", "num_hidden_layers: is 0");
  refuse("\"qk_norm\": true", "\"qk_norm\": 1", "qk_norm: is not true or false");
  refuse("\"patch_size\"", "\"rope_scaling\"", "rope_scaling: is not a field");
  refuse("\"vp\"", "\"ve\"", "noise.family: is \"ve\", only \"vp\"");
  refuse("\"posterior_mean\"", "\"mean\"", "noise.feed: is neither");
  refuse("\"rho_power\": 7.0", "\"rho_power\": 6", "noise.rho_power: is not 7");
  refuse("\"rho_max\": 16", "\"rho_max\": 1", "noise.rho_max: is 1");
}

TEST_CASE("model files that do not fit the config are refused", "[readers]") {
  const auto config = sjd::test::tiny_shape();
  const TemporaryDirectory directory;
  write_bytes(directory.path() / "config.json", sjd::test::config_json(config));
  const auto good = sjd::test::random_model(config, true, 1);
  const auto refuse = [&](const sjd::test::TestTensors& tensors, const std::string& reason) {
    sjd::test::write_safetensors(directory.path() / "m.safetensors", tensors);
    refused(ErrorCode::bad_file, {"m.safetensors: ", reason}, [&] {
      static_cast<void>(sjd::hosts::LlamaHost::load(directory.path(), "m.safetensors"));
    });
  };
  auto bad = good;
  bad.erase("layers.1.mlp.up.weight");
  refuse(bad, "layers.1.mlp.up.weight: is missing");
  bad = good;
  bad["layers.2.input_norm.weight"] = good.at("norm.weight");
  refuse(bad, "layers.2.input_norm.weight: is not a tensor of this model");
  bad = good;
  bad["norm.weight"].shape = {1, 64};
  refuse(bad, "norm.weight: has shape [1, 64] where [64] is expected");
  bad = good;
  bad["image_head.weight"].type = "F32";
  bad["image_head.weight"].values[7] = 0.1F;
  refuse(bad, "image_head.weight: PackedLinear: a weight is not a bf16 number");
  bad = good;
  bad.erase("noise.mean");
  refuse(bad, "noise.mean: is missing");
  bad = good;
  bad.erase("level_embedding.weight");
  refuse(bad, "noise.log_prior: is not a tensor of this model");
  bad = good;
  bad["noise.scale"].values[3] = 0.0F;
  refuse(bad, "noise.scale: holds a value that is not positive");
}

TEST_CASE("prompts become word ids", "[readers]") {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "tokenizer.json";
  const std::string good =
      "{\"format\": \"sjd-words\", \"version\": 1, \"words\": "
      "[\"<unused>\", \"<image>\", \"<unknown>\", \"apple\", \"red\", \"caf\xc3\xa9\", \"2\"]}";
  write_bytes(path, good);
  const auto tokenizer = WordTokenizer::read(path);
  CHECK(tokenizer.size() == 7);
  using Ids = std::vector<std::int32_t>;
  using Words = std::vector<std::string>;
  auto prompt = tokenizer.encode("  Red, APPLE-blue 2!<image>caf\xc3\xa9", 12);
  CHECK(prompt.ids == Ids{4, 3, 6, 5});
  CHECK(prompt.unknown_words == Words{"blue", "image"});
  CHECK(prompt.surplus_words.empty());
  prompt = tokenizer.encode("red red blue apple", 2);
  CHECK(prompt.ids == Ids{4, 4});
  CHECK(prompt.unknown_words == Words{"blue"});
  CHECK(prompt.surplus_words == Words{"apple"});
  CHECK(tokenizer.encode("", 12).ids.empty());
  CHECK(tokenizer.encode("red\xe2\x80\x94", 12).unknown_words == Words{"red\xe2\x80\x94"});
  const auto refuse = [&](const std::string& from, const std::string& to,
                          const std::string& reason) {
    write_bytes(path, replaced(good, from, to));
    refused(ErrorCode::bad_file, {"tokenizer.json: ", reason},
            [&] { static_cast<void>(WordTokenizer::read(path)); });
  };
  refuse("<image>", "image", "words[1]: is not <image>");
  refuse("\"red\"", "\"apple\"", "words[4]: \"apple\" stands twice");
  refuse("\"red\"", "\"Red\"", "words[4]: \"Red\" is not a word in lower case");
  refuse("\"red\"", "\"\"", "words[4]: \"\" is not a word");
  refuse("\"red\"", "3", "words[4]: is not a text");
  refuse(", \"<image>\", \"<unknown>\", \"apple\", \"red\", \"caf\xc3\xa9\", \"2\"", "",
         "words: lacks the special entries");
  refuse("\"version\": 1", "\"version\": 1, \"merges\": []", "merges: is not a field");
}
