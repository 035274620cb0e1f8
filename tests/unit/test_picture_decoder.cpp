// SPDX-License-Identifier: Apache-2.0
#include "sjd/hosts/picture_decoder.hpp"

#include <png.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "paint/png.hpp"
#include "support/catch.hpp"
#include "support/random_checkpoint.hpp"

namespace {

using sjd::Error;
using sjd::ErrorCode;
using sjd::TokenId;
using sjd::hosts::InstructionSet;
using sjd::hosts::Picture;
using sjd::hosts::PictureDecoder;
using sjd::test::TestTensors;

/// The network of docs/checkpoint.md once more, channel by channel in double precision.
class NaiveDecoder {
 public:
  struct Image {
    std::int64_t channels, height, width;
    std::vector<double> values;  // [channels, height, width]

    [[nodiscard]] double at(std::int64_t c, std::int64_t y, std::int64_t x) const {
      if (y < 0 || x < 0 || y >= height || x >= width) return 0.0;
      return values[static_cast<std::size_t>((c * height + y) * width + x)];
    }
  };

  explicit NaiveDecoder(TestTensors tensors) : t_{std::move(tensors)} {}

  [[nodiscard]] Image decode(const std::vector<TokenId>& codes, std::int64_t rows,
                             std::int64_t columns) const {
    const std::int64_t channels = t_.at("embed.weight").shape[1];
    Image x{channels, rows, columns, {}};
    for (std::int64_t c = 0; c < channels; ++c) {
      for (const TokenId code : codes)
        x.values.push_back(value("embed.weight", code * channels + c));
    }
    x = residual("res1", residual("res0", x));
    x = residual("res2", silu(convolution("up0", nearest(x))));
    x = residual("res3", silu(convolution("up1", nearest(x))));
    x = convolution("out", x);
    for (std::int64_t c = 0; c < 3; ++c) {
      for (std::int64_t i = 0; i < x.height * x.width; ++i) {
        const std::int64_t row = i / x.width;
        const std::int64_t column = i % x.width;
        const TokenId code = codes[static_cast<std::size_t>(row / 4 * columns + column / 4)];
        const double patch = value("codebook", code * 48 + (row % 4 * 4 + column % 4) * 3 + c);
        double& out = x.values[static_cast<std::size_t>(c * x.height * x.width + i)];
        out = std::clamp(out + patch, 0.0, 1.0);
      }
    }
    return x;
  }

 private:
  [[nodiscard]] double value(const std::string& name, std::int64_t index) const {
    return static_cast<double>(t_.at(name).values[static_cast<std::size_t>(index)]);
  }

  [[nodiscard]] static Image silu(Image x) {
    for (double& v : x.values) v = v / (1.0 + std::exp(-v));
    return x;
  }

  [[nodiscard]] static Image nearest(const Image& x) {
    Image y{x.channels, 2 * x.height, 2 * x.width, {}};
    for (std::int64_t c = 0; c < y.channels; ++c) {
      for (std::int64_t i = 0; i < y.height * y.width; ++i) {
        y.values.push_back(x.at(c, i / y.width / 2, i % y.width / 2));
      }
    }
    return y;
  }

  [[nodiscard]] Image convolution(const std::string& name, const Image& x) const {
    const std::int64_t outputs = t_.at(name + ".weight").shape[0];
    Image y{outputs, x.height, x.width, {}};
    for (std::int64_t out = 0; out < outputs; ++out) {
      for (std::int64_t i = 0; i < x.height * x.width; ++i) {
        double sum = value(name + ".bias", out);
        for (std::int64_t in = 0; in < x.channels; ++in) {
          for (std::int64_t k = 0; k < 9; ++k) {
            sum += value(name + ".weight", (out * x.channels + in) * 9 + k) *
                   x.at(in, i / x.width + k / 3 - 1, i % x.width + k % 3 - 1);
          }
        }
        y.values.push_back(sum);
      }
    }
    return y;
  }

  [[nodiscard]] Image residual(const std::string& name, const Image& x) const {
    Image y = convolution(name + ".conv2", silu(convolution(name + ".conv1", silu(x))));
    for (std::size_t i = 0; i < y.values.size(); ++i) y.values[i] += x.values[i];
    return y;
  }

  TestTensors t_;
};

std::vector<TokenId> random_codes(std::int64_t count, std::int64_t vocab) {
  std::mt19937 engine{11};
  std::vector<TokenId> codes;
  for (std::int64_t i = 0; i < count; ++i) {
    codes.push_back(static_cast<TokenId>(engine() % static_cast<std::uint32_t>(vocab)));
  }
  return codes;
}

void compare_with_naive(const TestTensors& tensors, std::int64_t vocab, std::int64_t rows,
                        std::int64_t columns) {
  const sjd::test::TemporaryDirectory directory;
  sjd::test::write_safetensors(directory.path() / "decoder.safetensors", tensors);
  const std::vector<TokenId> codes = random_codes(rows * columns, vocab);
  const auto truth = NaiveDecoder{tensors}.decode(codes, rows, columns);
  std::vector<float> first;
  for (const auto set : {InstructionSet::scalar, InstructionSet::avx2, InstructionSet::avx512,
                         InstructionSet::amx}) {
    if (!sjd::hosts::supported(set)) continue;
    const auto decoder = PictureDecoder::read(directory.path() / "decoder.safetensors", set);
    REQUIRE(decoder.vocab_size() == vocab);
    const Picture picture = decoder.decode(codes, rows, columns);
    REQUIRE(picture.height == 4 * rows);
    REQUIRE(picture.width == 4 * columns);
    if (first.empty()) first = picture.rgb;
    CHECK(first == picture.rgb);
    double worst = 0.0;
    for (std::int64_t i = 0; i < picture.height * picture.width; ++i) {
      for (std::int64_t c = 0; c < 3; ++c) {
        const double expected = truth.at(c, i / picture.width, i % picture.width);
        const auto got = static_cast<double>(picture.rgb[static_cast<std::size_t>(3 * i + c)]);
        worst = std::max(worst, std::abs(got - expected));
      }
    }
    CHECK(worst < 1e-5);
  }
}

std::string file_bytes(const std::filesystem::path& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

std::size_t files_in(const std::filesystem::path& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator{directory},
                                                std::filesystem::directory_iterator{}));
}

}  // namespace

TEST_CASE("PictureDecoder computes the network of docs/checkpoint.md", "[picture]") {
  SECTION("small, odd sizes") {
    compare_with_naive(sjd::test::random_decoder(40, 20, 33, 7, 2), 40, 3, 5);
  }
  SECTION("shipped shape") {
    compare_with_naive(sjd::test::random_decoder(512, 64, 48, 32, 3), 512, 16, 16);
  }
}

TEST_CASE("PictureDecoder refuses codes and files that do not fit", "[picture]") {
  const sjd::test::TemporaryDirectory directory;
  const auto path = directory.path() / "decoder.safetensors";
  const TestTensors good = sjd::test::random_decoder(40, 20, 33, 7, 2);
  sjd::test::write_safetensors(path, good);
  const auto decoder = PictureDecoder::read(path);
  CHECK_THROWS_AS(decoder.decode(std::vector<TokenId>{0, 40}, 1, 2), Error);
  CHECK_THROWS_AS(decoder.decode(std::vector<TokenId>{0, -1}, 1, 2), Error);
  CHECK_THROWS_AS(decoder.decode(std::vector<TokenId>{0, 1}, 2, 2), Error);
  const auto refused = [&](const TestTensors& tensors, const std::string& tensor) {
    sjd::test::write_safetensors(path, tensors);
    try {
      static_cast<void>(PictureDecoder::read(path));
      FAIL("nothing was thrown; expected " << tensor);
    } catch (const Error& error) {
      const std::string text = error.what();
      CAPTURE(text, tensor);
      CHECK(text.find(tensor) != std::string::npos);
    }
  };
  TestTensors bad = good;
  bad.erase("res2.conv1.bias");
  refused(bad, "res2.conv1.bias: is missing");
  bad = good;
  bad["extra"] = good.at("out.bias");
  refused(bad, "extra: is not a tensor of a picture decoder");
  bad = good;
  bad["codebook"].values[5] = 1.5F;
  refused(bad, "codebook: holds a value outside [0, 1]");
  bad = good;
  bad["up1.weight"].shape = {3, 77, 3, 3};
  refused(bad, "up1.weight: has shape [3, 77, 3, 3]");
}

TEST_CASE("bytes are rounded to nearest", "[picture]") {
  const Picture picture{1, 2, {0.0F, 1.0F, 0.5F, 0.001F, 0.003F, 0.999F}};
  CHECK(picture.bytes() == std::vector<std::uint8_t>{0, 255, 128, 0, 1, 255});
}

TEST_CASE("write_png writes what libpng reads back", "[picture]") {
  const sjd::test::TemporaryDirectory directory;
  const auto path = directory.path() / "out.png";
  std::vector<std::uint8_t> rgb;
  for (int i = 0; i < 5 * 7 * 3; ++i) rgb.push_back(static_cast<std::uint8_t>(i * 37));
  sjd::paint::write_png(path, rgb, 5, 7);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_file(&image, path.c_str()) != 0);
  CHECK(image.width == 7);
  CHECK(image.height == 5);
  image.format = PNG_FORMAT_RGB;
  std::vector<std::uint8_t> back(PNG_IMAGE_SIZE(image));
  REQUIRE(png_image_finish_read(&image, nullptr, back.data(), 0, nullptr) != 0);
  CHECK(back == rgb);
  CHECK_THROWS_AS(sjd::paint::write_png(path, rgb, 5, 8), Error);
}

TEST_CASE("write_file replaces a file or leaves it alone", "[picture]") {
  const sjd::test::TemporaryDirectory directory;
  const auto path = directory.path() / "out";
  const std::vector<std::uint8_t> bytes{'n', 'e', 'w'};
  sjd::test::write_bytes(path, "old");
  sjd::paint::write_file(path, bytes);
  CHECK(file_bytes(path) == "new");
  CHECK(files_in(directory.path()) == 1);
  try {
    sjd::paint::write_file(directory.path() / "missing" / "out", bytes);
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::io);
    CHECK(std::string{error.what()}.find("missing") != std::string::npos);
  }
  std::filesystem::create_directory(directory.path() / "folder");
  CHECK_THROWS_AS(sjd::paint::write_file(directory.path() / "folder", bytes), Error);
  CHECK(files_in(directory.path()) == 2);
}

TEST_CASE("time of decoding one picture", "[.][timing]") {
  const sjd::test::TemporaryDirectory directory;
  const auto path = directory.path() / "decoder.safetensors";
  sjd::test::write_safetensors(path, sjd::test::random_decoder(512, 64, 48, 32, 3));
  const auto decoder = PictureDecoder::read(path);
  const std::vector<TokenId> codes = random_codes(256, 512);
  std::vector<double> seconds;
  for (int repeat = 0; repeat < 21; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    static_cast<void>(decoder.decode(codes, 16, 16));
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  std::printf("decode 64x64: %.2f ms (best %.2f)\n", 1e3 * seconds[10], 1e3 * seconds[0]);
}
