// SPDX-License-Identifier: Apache-2.0
#include "tokenizer.hpp"

#include <ATen/Context.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cstdio>
#include <filesystem>

#include "data_options.hpp"
#include "picture_io.hpp"
#include "safetensors_io.hpp"
#include "tokenizer_codes.hpp"
#include "tokenizer_training.hpp"

namespace sjd::train {
namespace {

struct Coded {
  Codebook codebook;
  torch::Tensor codes;  // [pictures, augmentations, 256] I32
};

Coded make_codes(const PictureSource& source, const std::vector<Caption>& captions,
                 const StageOptions& options, const std::filesystem::path& path) {
  const auto seed = static_cast<std::uint64_t>(options.count("seed"));
  const auto patches = sample_patches(source, captions, options.count("patches"), seed);
  Codebook codebook = learn_codebook(patches, options.count("iterations"), seed);
  torch::Tensor codes = encode_all(source, codebook, options.count("augmentations"), seed);
  const torch::Tensor rows = torch::tensor(codebook.rows()).view({code_count, patch_values});
  save_safetensors(path, {{"codebook", rows}, {"codes", codes}});
  print_code_statistics(source, captions, codebook, codes);
  return {std::move(codebook), std::move(codes)};
}

/// Codes that are there already are kept: a model may be in training on them.
Coded load_or_make_codes(const PictureSource& source, const std::vector<Caption>& captions,
                         const StageOptions& options, const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return make_codes(source, captions, options, path);
  std::fprintf(stderr, "tokenizer: keeping %s; remove it to start again\n", path.c_str());
  const torch::Tensor rows = load_safetensor(path, "codebook");
  torch::Tensor codes = load_safetensor(path, "codes");
  const bool fits = rows.scalar_type() == torch::kFloat32 && codes.scalar_type() == torch::kInt32 &&
                    codes.dim() == 3 && codes.size(0) == source.size() &&
                    codes.size(2) == patches_per_picture;
  if (!fits) {
    throw std::runtime_error(path.string() + ": does not belong to these pictures");
  }
  const auto* values = rows.data_ptr<float>();
  Codebook codebook(std::vector<float>(values, values + rows.numel()));
  print_code_statistics(source, captions, codebook, codes);
  return {std::move(codebook), std::move(codes)};
}

/// Plain pictures as they are, [n, 64, 64, 3] U8.
torch::Tensor plain_pictures(const PictureSource& source,
                             const std::vector<std::int64_t>& pictures) {
  torch::Tensor rgb = torch::empty(
      {static_cast<std::int64_t>(pictures.size()), picture_size, picture_size, 3}, torch::kUInt8);
  auto* out = rgb.data_ptr<std::uint8_t>();
  for (const std::int64_t picture : pictures) {
    source.render(picture, {}, {out, picture_bytes});
    out += picture_bytes;
  }
  return rgb;
}

void print_decoder_quality(PictureDecoder& decoder, const PictureSource& source,
                           const std::vector<Caption>& captions, const torch::Tensor& codes) {
  for (const bool training : {true, false}) {
    std::vector<std::int64_t> pictures;
    for (std::size_t at = 0; at < captions.size(); ++at) {
      if ((captions[at].split == split_train) == training) {
        pictures.push_back(static_cast<std::int64_t>(at));
      }
    }
    const torch::Tensor own = codes.select(1, 0).index_select(0, torch::tensor(pictures));
    const torch::Tensor error =
        paint_codes(decoder, own).to(torch::kFloat32).sub_(plain_pictures(source, pictures));
    const double mean = error.div_(255).square_().mean(torch::kFloat64).item<double>();
    std::printf("%-9s decoder PSNR %.2f dB\n", training ? "training" : "held out", psnr(mean));
  }
}

void append(std::vector<std::uint8_t>& inout_tiles, const torch::Tensor& pictures) {
  const torch::Tensor flat = pictures.contiguous();
  const auto* values = flat.data_ptr<std::uint8_t>();
  inout_tiles.insert(inout_tiles.end(), values, values + flat.numel());
}

/// Three lines per group: original, codebook patches, decoder. Training pictures in the first two
/// groups, held-out ones in the others.
void write_reconstructions(const std::filesystem::path& path, PictureDecoder& decoder,
                           const PictureSource& source, const std::vector<Caption>& captions,
                           const Coded& coded) {
  constexpr std::int64_t columns = 12;
  std::vector<std::uint8_t> tiles;
  SplitMix random{7};
  for (int group = 0; group < 4; ++group) {
    std::vector<std::int64_t> pictures;
    while (static_cast<std::int64_t>(pictures.size()) < columns) {
      const std::uint64_t picture = random.below(captions.size());
      const bool training = captions[picture].split == split_train;
      if (training == (group < 2)) pictures.push_back(static_cast<std::int64_t>(picture));
    }
    const torch::Tensor own =
        coded.codes.select(1, 0).index_select(0, torch::tensor(pictures)).contiguous();
    append(tiles, plain_pictures(source, pictures));
    for (std::int64_t column = 0; column < columns; ++column) {
      const auto pasted = paste_patches(
          coded.codebook, own.data_ptr<std::int32_t>() + column * patches_per_picture);
      tiles.insert(tiles.end(), pasted.begin(), pasted.end());
    }
    append(tiles, paint_codes(decoder, own));
  }
  write_png(path, enlarge(tile_grid(tiles, 12, columns, picture_size), 2));
}

}  // namespace

int run_tokenizer(std::span<char* const> args) {
  const StageOptions options(args, {{"data", ""},
                                    {"output", ""},
                                    {"augmentations", "32"},
                                    {"patches", "600000"},
                                    {"iterations", "40"},
                                    {"steps", "6000"},
                                    {"batch", "16"},
                                    {"bf16", "0"},
                                    {"device", "cpu"},
                                    {"seed", "1"}});
  const TrainingDevice device = device_from_name(options.text("device"));
  const std::filesystem::path data = options.text("data");
  const std::filesystem::path output = options.text("output");
  std::filesystem::create_directories(output);
  const std::vector<Caption> captions = load_captions(data / "captions.json");
  const PictureSource source(load_safetensor(data / "pictures.safetensors", "pixels"), captions);
  const Coded coded = load_or_make_codes(source, captions, options, output / "codes.safetensors");
  DecoderSettings settings;
  settings.steps = options.count("steps");
  settings.batch = options.count("batch");
  settings.bfloat16 = options.count("bf16") != 0;
  settings.seed = static_cast<std::uint64_t>(options.count("seed"));
  settings.output = output;
  settings.device = device;
  at::globalContext().setFlushDenormal(true);  // denormal gradients cost ten times the time
  torch::manual_seed(settings.seed);
  PictureDecoder decoder(coded.codebook);
  train_decoder(decoder, source, captions, coded.codebook, settings);
  print_decoder_quality(decoder, source, captions, coded.codes);
  write_reconstructions(output / "reconstructions.png", decoder, source, captions, coded);
  return 0;
}

}  // namespace sjd::train
