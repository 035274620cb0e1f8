// SPDX-License-Identifier: Apache-2.0
// Structured bad weight files: headers, offsets, shapes, names, values, and whole models.
#include <array>
#include <iostream>

#include "hostile/hostile_readers.hpp"
#include "sjd/hosts/corrector_head.hpp"
#include "sjd/hosts/picture_decoder.hpp"
#include "sjd/hosts/safetensors.hpp"
#include "support/random_checkpoint.hpp"

namespace sjd::test {
namespace {

using hosts::SafetensorsFile;

HostileReader tensors_reader() {
  return {"safetensors", [](const std::filesystem::path& path) {
            const SafetensorsFile file{path};
            for (const auto& [name, info] : file.tensors()) {
              if (info.type == hosts::TensorType::i32) {
                static_cast<void>(file.read_integers(name, info.shape));
              } else if (info.type != hosts::TensorType::u8) {
                static_cast<void>(file.read_floats(name, info.shape));
              }
            }
          }};
}

constexpr std::array types{"U8", "I32", "F16", "BF16", "F32"};
constexpr std::array widths{1, 4, 2, 2, 4};

/// Three tensors of one type; %S and %B stand where the middle one's shape and offsets go.
std::string header_of(std::size_t type, const std::string& shape, const std::string& offsets) {
  const std::string t = types[type];
  const int w = widths[type];
  const auto entry = [&](const std::string& name, const std::string& s, const std::string& o) {
    return "\"" + name + "\":{\"dtype\":\"" + t + "\",\"shape\":" + s + ",\"data_offsets\":" + o +
           "}";
  };
  const auto pair = [&](int a, int b) {
    return "[" + std::to_string(a * w) + "," + std::to_string(b * w) + "]";
  };
  return "{" + entry("first", "[3]", pair(0, 3)) + "," +
         entry("middle", shape.empty() ? "[2,2]" : shape, offsets.empty() ? pair(3, 7) : offsets) +
         "," + entry("last", "[]", pair(7, 8)) + "}";
}

std::string body_of(std::size_t type) {
  return std::string(static_cast<std::size_t>(8 * widths[type]), '\0');
}

std::string file_of(std::size_t type, const std::string& shape = "",
                    const std::string& offsets = "") {
  return safetensors_bytes(header_of(type, shape, offsets), body_of(type));
}

/// Ranges of the right size that share bytes, and whose last one still ends the file.
void overlap(HostileReader& reader, std::size_t type) {
  const int w = widths[type];
  const auto refuse = [&](int begin, int count, int end) {
    const auto entry = [&](const std::string& name, int from, int to) {
      return "\"" + name + "\":{\"dtype\":\"" + types[type] + "\",\"shape\":[" +
             std::to_string(to - from) + "],\"data_offsets\":[" + std::to_string(from * w) + "," +
             std::to_string(to * w) + "]}";
    };
    const std::string header = "{" + entry("a", 0, count) + "," + entry("b", begin, end) + "}";
    reader.refuse(safetensors_bytes(header, std::string(static_cast<std::size_t>(end * w), '\0')),
                  begin > count ? "leaves a gap" : "overlaps another tensor");
  };
  for (int end = 1; end <= 6; ++end) {
    for (int begin = 0; begin < end; ++begin) {
      for (int count = 1; count <= end; ++count) {
        if (begin != count) refuse(begin, count, end);
      }
    }
  }
}

/// All tensors of a model, each in turn missing, misshapen, mistyped, not finite or misnamed.
void spoil_model(HostileReader& reader, const TestTensors& good,
                 const std::function<std::string(const TestTensors&)>& bytes) {
  for (const auto& [name, tensor] : good) {
    TestTensors bad = good;
    bad.erase(name);
    reader.refuse(bytes(bad), name.substr(0, 5));
    bad[name + "x"] = tensor;
    reader.refuse(bytes(bad));
    bad = good;
    bad[name].shape.push_back(1);
    reader.refuse(bytes(bad), name);
    bad = good;
    bad[name].shape = {static_cast<std::int64_t>(tensor.values.size())};
    if (tensor.shape.size() > 1) reader.refuse(bytes(bad), name);
    bad = good;
    bad[name].shape = {0};
    bad[name].values.clear();
    reader.refuse(bytes(bad), name);
    bad = good;
    bad["unknown"] = tensor;
    reader.refuse(bytes(bad), "unknown");
    if (tensor.type == "I32") continue;
    for (const float value : {NAN, INFINITY, -INFINITY}) {
      bad = good;
      bad[name].values[tensor.values.size() / 2] = value;
      reader.refuse(bytes(bad), name + ": holds a value that is not finite");
    }
  }
}

std::string bytes_of(const TestTensors& tensors) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "t";
  write_safetensors(path, tensors);
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

}  // namespace

TEST_CASE("hostile: safetensors cut anywhere, with any header length", "[hostile]") {
  HostileReader reader = tensors_reader();
  for (std::size_t type = 0; type < types.size(); ++type) {
    const std::string good = file_of(type);
    reader.survive(good);
    CHECK(reader.accepted == static_cast<std::int64_t>(type) + 1);
    for (std::size_t size = 0; size < good.size(); ++size) reader.refuse(good.substr(0, size));
    reader.refuse(good + '\0', "bytes lie behind");
  }
  const std::string good = file_of(4);
  const std::uint64_t right = good.size() - 8 - 32;
  std::vector<std::uint64_t> lengths{0, 1, 2, right - 1, right + 1, good.size(), good.size() - 8};
  for (unsigned bit = 0; bit < 64; ++bit) {
    for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
      lengths.push_back((std::uint64_t{1} << bit) + offset);
    }
  }
  for (const std::uint64_t length : lengths) {
    std::string bad = good;
    for (unsigned i = 0; i < 8; ++i) bad[i] = static_cast<char>((length >> (8 * i)) & 0xFFU);
    reader.refuse(bad);
  }
  std::cout << reader.summary() << " (cut, length)\n";
}

TEST_CASE("hostile: safetensors shapes, offsets and types", "[hostile]") {
  HostileReader reader = tensors_reader();
  const std::vector<std::string> shapes{"[4294967296,4294967296]",
                                        "[4611686018427387904,4]",
                                        "[9223372036854775807,2]",
                                        "[65536,65536,65536,65536]",
                                        "[2,2,4611686018427387904,2]",
                                        "[5]",
                                        "[3]",
                                        "[2,3]",
                                        "[0]",
                                        "[]",
                                        "[4,0]",
                                        "[1,1,1,1,1,1,1,1,4]",
                                        "[-2,-2]",
                                        "[-4]",
                                        "[2,-2]",
                                        "[2.0,2]",
                                        "[\"2\",2]",
                                        "[[2],2]",
                                        "[null]",
                                        "[true,4]",
                                        "{}",
                                        "4",
                                        "null",
                                        "\"\"",
                                        "[2,2",
                                        "[2 2]",
                                        "[,]"};
  for (std::size_t type = 0; type < types.size(); ++type) {
    for (const std::string& shape : shapes) {
      CAPTURE(shape);
      reader.refuse(file_of(type, shape));
    }
    // Products that come back to the right number once they have gone round.
    reader.refuse(file_of(type, "[4611686018427387905,4]"), "is too large");
    reader.refuse(file_of(type, "[4,4611686018427387905]"), "is too large");
    const int w = widths[type];
    if (w == 4) reader.refuse(file_of(type, "[4611686018427387908]"), "is too large");
    overlap(reader, type);
    for (const std::string& bad : bad_integers()) {
      reader.refuse(file_of(type, "", "[" + bad + "," + std::to_string(7 * w) + "]"));
      reader.refuse(file_of(type, "", "[" + std::to_string(3 * w) + "," + bad + "]"));
      if (bad != "4,4" && bad != "") reader.refuse(file_of(type, "[2," + bad + "]"));
    }
    for (int begin = 0; begin <= 8; ++begin) {
      for (int end = 0; end <= 9; ++end) {
        if (begin == 3 && end == 7) continue;
        reader.refuse(file_of(
            type, "", "[" + std::to_string(begin * w) + "," + std::to_string(end * w) + "]"));
      }
    }
    for (const char* pair : {"[]", "[3]", "[3,7,7]", "null", "{}", "\"3,7\""}) {
      reader.refuse(file_of(type, "", pair));
    }
    for (const char* other :
         {"F64", "I64", "I16", "I8", "U16", "U32", "U64", "BOOL", "F8_E4M3", "F8_E5M2", "F4", "",
          "f32", "F32 ", "float32", "\\u0000", "F\\u001b[31m"}) {
      const std::string header = header_of(type, "", "");
      const std::string t = "\"" + std::string{types[type]} + "\"";
      reader.refuse(
          safetensors_bytes(with(header, t, "\"" + std::string{other} + "\""), body_of(type)),
          "is not supported");
    }
  }
  std::cout << reader.summary() << " (shapes, offsets, types)\n";
}

TEST_CASE("hostile: safetensors keys, names and nesting", "[hostile]") {
  HostileReader reader = tensors_reader();
  const std::string header = header_of(4, "", "");
  const auto refuse = [&](const std::string& from, const std::string& to,
                          const std::string& reason) {
    reader.refuse(safetensors_bytes(with(header, from, to), body_of(4)), reason);
  };
  for (const char* name : {"first", "middle"})
    refuse("\"last\"", "\"" + std::string{name} + "\"", "stands twice");
  refuse("\"dtype\":\"F32\"", "\"dtype\":\"F32\",\"dtype\":\"F32\"", "stands twice");
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    refuse("\"" + std::string{key} + "\"", "\"x\"", "");
    refuse("\"" + std::string{key} + "\"", "\"x\":1,\"" + std::string{key} + "\"",
           "is not a field");
  }
  refuse("\"first\"", "\"\"", "bad length");
  refuse("\"first\"", "\"" + std::string(1'025, 'n') + "\"", "bad length");
  for (const std::string& broken : broken_utf8()) {
    refuse("first", broken, "byte ");
    refuse("first", "name" + broken + "name", "byte ");
    refuse("F32", broken, "byte ");
  }
  for (char control = 0; control < 32; ++control)
    refuse("first", std::string{'a', control}, "byte ");
  for (const char* escape : {"\\x", "\\u12", "\\ud800", "\\udc00", "\\ud800\\u0041", "\\"}) {
    refuse("first", escape, "byte ");
  }
  for (const int depth : {2, 3, 4, 50, 5'000, 100'000}) {
    const auto n = static_cast<std::size_t>(depth);
    refuse(
        "\"first\":", "\"deep\":" + std::string(n, '[') + std::string(n, ']') + ",\"first\":", "");
    std::string objects;
    for (int i = 0; i < depth; ++i) objects += "{\"a\":";
    refuse("\"first\":", "\"deep\":" + objects + "1" + std::string(n, '}') + ",\"first\":", "");
  }
  refuse("{", "{\"__metadata__\":1,", "is not an object");
  refuse("{", "{\"__metadata__\":{\"a\":1},", "is not a text");
  refuse("{", "{\"__metadata__\":{\"a\":\"\",\"a\":\"\"},", "stands twice");
  refuse("{", "{\"a\":1,", "is not an object");
  std::string many = "{\"a\":[";
  for (int i = 0; i < 400'000; ++i) many += "0,";
  reader.refuse(safetensors_bytes(many + "0]}", ""), "too many items");
  many = "{\"a\":{";
  for (int i = 0; i < 250'000; ++i) many += "\"" + std::to_string(i) + "\":0,";
  reader.refuse(safetensors_bytes(many + "\"x\":0}}", ""), "too many members");
  // Every byte of the header changed or dropped: some of these are files again.
  for (std::size_t at = 0; at < header.size(); ++at) {
    for (const char c : {'\0', '"', '{', '}', '[', ']', ',', ':', '0', '9', '-', 'e', '\x80'}) {
      std::string bad = header;
      bad[at] = c;
      reader.survive(safetensors_bytes(bad, body_of(4)));
    }
    reader.survive(safetensors_bytes(std::string{header}.erase(at, 1), body_of(4)));
  }
  std::cout << reader.summary() << " (keys, names, nesting)\n";
}

TEST_CASE("hostile: a path is what it says", "[hostile]") {
  const std::string name{"/dev/null\0x", 11};
  try {
    SafetensorsFile{std::filesystem::path{name}};
    FAIL("a name with a NUL byte was opened");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::bad_file);
    CHECK(std::string{error.what()}.find("null\\x00x: the name holds a NUL") != std::string::npos);
  }
}

TEST_CASE("hostile: correctors with every tensor spoilt", "[hostile]") {
  constexpr std::int64_t vocab = 3, hidden = 16, width = 32, neighbours = 2;
  RandomTensors make{7};
  TestTensors good;
  good["neighbours"] = {"I32", {neighbours}, {std::bit_cast<float>(1), std::bit_cast<float>(2)}};
  for (const char* name : {"now.weight", "before.weight"}) {
    good[name] = make("BF16", {neighbours, vocab + 1, width}, 1.0);
  }
  good["changed.weight"] = make("BF16", {neighbours, width}, 1.0);
  good["distance.weight"] = make("BF16", {2, width}, 1.0);
  good["inner.bias"] = make("F32", {width}, 1.0);
  good["input.weight"] = make("BF16", {width, 2 * hidden}, 1.0);
  good["inner.weight"] = make("BF16", {width, width}, 1.0);
  good["output.weight"] = make("BF16", {vocab, width}, 1.0);
  HostileReader reader{
      "corrector", [](const std::filesystem::path& path) {
        static_cast<void>(hosts::read_corrector_weights(path, vocab, hidden, hosts::Storage::bf16));
      }};
  reader.survive(bytes_of(good));
  REQUIRE(reader.accepted == 1);
  spoil_model(reader, good, bytes_of);
  for (const std::array<int, 2> offsets :
       {std::array{0, 1}, {-1, 1}, {2, 1}, {1, 1}, {2147483647, -2147483647}}) {
    TestTensors bad = good;
    bad["neighbours"].values = {std::bit_cast<float>(offsets[0]), std::bit_cast<float>(offsets[1])};
    reader.refuse(bytes_of(bad), "neighbours: ");
  }
  TestTensors bad = good;
  bad["inner.weight"].type = "F32";
  bad["inner.weight"].values[5] = 0.1F;
  reader.refuse(bytes_of(bad), "inner.weight: PackedLinear");
  const std::string whole = bytes_of(good);
  for (std::size_t size = 0; size < whole.size(); size += 61) reader.refuse(whole.substr(0, size));
  std::cout << reader.summary() << "\n";
}

TEST_CASE("hostile: picture decoders with every tensor spoilt", "[hostile]") {
  const TestTensors good = random_decoder(3, 4, 3, 2, 5);
  HostileReader reader{"picture decoder", [](const std::filesystem::path& path) {
                         static_cast<void>(hosts::PictureDecoder::read(path));
                       }};
  reader.survive(bytes_of(good));
  REQUIRE(reader.accepted == 1);
  spoil_model(reader, good, bytes_of);
  for (const float value : {-0.01F, 1.01F, 1.0e30F}) {
    TestTensors bad = good;
    bad["codebook"].values[7] = value;
    reader.refuse(bytes_of(bad), "codebook: holds a value outside [0, 1]");
  }
  for (const std::int64_t channels :
       {std::int64_t{0}, std::int64_t{4'097}, std::int64_t{1} << 60}) {
    TestTensors bad = good;
    bad["codebook"] = {"F32", {0, 48}, {}};
    bad["embed.weight"] = {"F32", {0, channels}, {}};
    reader.refuse(bytes_of(bad), "bad number of outputs");
  }
  std::cout << reader.summary() << "\n";
}

}  // namespace sjd::test
