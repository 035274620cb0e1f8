// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_codes.hpp"

#include <atomic>
#include <cmath>
#include <cstdio>
#include <map>

#include "tokenizer_parallel.hpp"

namespace sjd::train {
namespace {

constexpr std::int64_t sampled_augmentations = 8;

double entropy(const std::vector<double>& counts) {
  double total = 0;
  for (const double count : counts) total += count;
  double nats = 0;
  for (const double count : counts) {
    if (count > 0) nats -= count / total * std::log(count / total);
  }
  return nats;
}

/// What is counted over the plain pictures of one side of the split.
struct Totals {
  double squared_error = 0;
  std::int64_t values = 0;
  std::int64_t white = 0;  // patches that are exactly white
  std::vector<double> nearly_white = std::vector<double>(code_count);  // codes of values >= 250
  std::vector<double> codes = std::vector<double>(code_count);         // over all augmentations
};

void count_picture(std::span<const std::uint8_t> rgb, const Codebook& codebook,
                   const std::int32_t* codes, Totals& inout_totals) {
  std::array<float, patch_values> patch{};
  for (std::int64_t index = 0; index < patches_per_picture; ++index) {
    cut_patch(rgb, index, patch.data());
    const auto code = static_cast<std::size_t>(codes[index]);
    bool nearly_white = true;
    for (std::size_t value = 0; value < patch_values; ++value) {
      const double difference = patch[value] - codebook.rows()[code * patch_values + value];
      inout_totals.squared_error += difference * difference;
      nearly_white = nearly_white && patch[value] >= 250.0F / 255;
    }
    inout_totals.white += is_white(patch.data()) ? 1 : 0;
    inout_totals.nearly_white[code] += nearly_white ? 1 : 0;
    inout_totals.values += patch_values;
  }
}

void print_totals(const char* side, const Totals& totals) {
  const double patches = static_cast<double>(totals.values) / patch_values;
  std::printf(
      "%-9s codebook PSNR %.2f dB, unigram entropy %.3f nats, white patches %.1f %%, "
      "nearly white ones %.3f nats\n",
      side, psnr(totals.squared_error / static_cast<double>(totals.values)), entropy(totals.codes),
      100 * static_cast<double>(totals.white) / patches, entropy(totals.nearly_white));
}

}  // namespace

std::vector<double> picture_weights(const std::vector<Caption>& captions) {
  std::map<std::string, double> family_sizes;
  for (const Caption& caption : captions) family_sizes[caption.family] += 1;
  std::vector<double> weights;
  double sum = 0;
  for (const Caption& caption : captions) {
    const bool training = caption.split == split_train;
    weights.push_back(training ? 1 / std::sqrt(family_sizes[caption.family]) : 0);
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

std::vector<float> sample_patches(const PictureSource& source, const std::vector<Caption>& captions,
                                  std::int64_t wanted, std::uint64_t seed) {
  constexpr double coloured_share = 0.62;  // of the patches; the rest is exactly white
  const std::vector<double> weights = picture_weights(captions);
  std::vector<float> patches;
  std::vector<std::uint8_t> rgb(picture_bytes);
  std::array<float, patch_values> patch{};
  for (std::int64_t picture = 0; picture < source.size(); ++picture) {
    const double share = weights[static_cast<std::size_t>(picture)] * static_cast<double>(wanted) /
                         (sampled_augmentations * patches_per_picture * coloured_share);
    for (std::int64_t number = 0; share > 0 && number < sampled_augmentations; ++number) {
      source.render(picture, source.numbered_augmentation(picture, number, seed), rgb);
      SplitMix random{seed, 0x70617463, static_cast<std::uint64_t>(picture),
                      static_cast<std::uint64_t>(number)};
      for (std::int64_t index = 0; index < patches_per_picture; ++index) {
        if (random.uniform() >= share) continue;
        cut_patch(rgb, index, patch.data());
        if (!is_white(patch.data())) {
          patches.insert(patches.end(), patch.begin(), patch.end());
        }
      }
    }
  }
  return patches;
}

torch::Tensor encode_all(const PictureSource& source, const Codebook& codebook,
                         std::int64_t augmentations, std::uint64_t seed) {
  torch::Tensor codes =
      torch::empty({source.size(), augmentations, patches_per_picture}, torch::kInt32);
  auto* out = codes.data_ptr<std::int32_t>();
  std::atomic<std::int64_t> done = 0;
  on_all_cores(source.size(), [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint8_t> rgb(picture_bytes);
    for (std::int64_t picture = begin; picture < end; ++picture) {
      for (std::int64_t number = 0; number < augmentations; ++number) {
        const auto at = (picture * augmentations + number) * patches_per_picture;
        source.render(picture, source.numbered_augmentation(picture, number, seed), rgb);
        codebook.encode(rgb, {out + at, patches_per_picture});
      }
      if (const std::int64_t count = ++done; count % 50 == 0 || count == source.size()) {
        std::fprintf(stderr, "\rcodes: %lld of %lld pictures", static_cast<long long>(count),
                     static_cast<long long>(source.size()));
      }
    }
  });
  std::fputc('\n', stderr);
  return codes;
}

std::vector<std::uint8_t> paste_patches(const Codebook& codebook, const std::int32_t* codes) {
  std::vector<std::uint8_t> rgb(picture_bytes);
  for (std::int64_t row = 0; row < picture_size; ++row) {
    for (std::int64_t column = 0; column < picture_size; ++column) {
      const std::int64_t code = codes[row / 4 * 16 + column / 4];
      const std::int64_t from = code * patch_values + (row % 4 * 4 + column % 4) * 3;
      for (std::int64_t channel = 0; channel < 3; ++channel) {
        rgb[static_cast<std::size_t>((row * picture_size + column) * 3 + channel)] =
            static_cast<std::uint8_t>(
                std::lround(codebook.rows()[static_cast<std::size_t>(from + channel)] * 255));
      }
    }
  }
  return rgb;
}

double psnr(double mean_squared_error) {
  return -10 * std::log10(mean_squared_error);
}

void print_code_statistics(const PictureSource& source, const std::vector<Caption>& captions,
                           const Codebook& codebook, const torch::Tensor& codes) {
  const auto* all = codes.data_ptr<std::int32_t>();
  Totals training;
  Totals held_out;
  std::vector<std::uint8_t> rgb(picture_bytes);
  for (std::int64_t picture = 0; picture < source.size(); ++picture) {
    const bool is_training = captions[static_cast<std::size_t>(picture)].split == split_train;
    Totals& totals = is_training ? training : held_out;
    const auto* own = all + picture * codes.size(1) * patches_per_picture;
    source.render(picture, {}, rgb);
    count_picture(rgb, codebook, own, totals);
    for (std::int64_t at = 0; at < codes.size(1) * patches_per_picture; ++at) {
      totals.codes[static_cast<std::size_t>(own[at])] += 1;
    }
  }
  print_totals("training", training);
  print_totals("held out", held_out);
}

}  // namespace sjd::train
