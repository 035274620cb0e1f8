// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_augment.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <set>
#include <stdexcept>
#include <string>

namespace sjd::train {
namespace {

constexpr std::int64_t source_size = 128;
constexpr double degree = std::numbers::pi / 180;

/// Words of drawings with a direction, letters, digits or a clock face in them.
const std::set<std::string>& directed_words() {
  static const std::set<std::string> words{
      "left",          "right",      "arrow",      "arrows",     "east",       "west",
      "northeast",     "northwest",  "southeast",  "southwest",  "clockwise",  "counterclockwise",
      "anticlockwise", "back",       "next",       "previous",   "forward",    "rewind",
      "reverse",       "fast",       "skip",       "play",       "repeat",     "shuffle",
      "increasing",    "decreasing", "chart",      "graph",      "waxing",     "waning",
      "quarter",       "crescent",   "letter",     "letters",    "latin",      "abc",
      "abcd",          "alphabet",   "lowercase",  "uppercase",  "digit",      "number",
      "numbers",       "text",       "word",       "words",      "writing",    "write",
      "symbol",        "symbols",    "sign",       "button",     "keycap",     "input",
      "japanese",      "chinese",    "katakana",   "kanji",      "ideograph",  "clock",
      "watch",         "time",       "timer",      "alarm",      "calendar",   "date",
      "day",           "month",      "question",   "mark",       "currency",   "dollar",
      "euro",          "pound",      "yen",        "money",      "zodiac",     "astrology",
      "atm",           "id",         "sos",        "vs",         "ok",         "new",
      "cool",          "free",       "soon",       "top",        "end",        "hundred",
      "place",         "medal",      "globe",      "map",        "world",      "earth",
      "japan",         "america",    "africa",     "music",      "musical",    "note",
      "score",         "newspaper",  "page",       "document",   "receipt",    "scroll",
      "card",          "cards",      "mahjong",    "joker",      "billiard",   "pool",
      "die",           "game",       "dice",       "keyboard",   "calculator", "computer",
      "math",          "plus",       "minus",      "infinity",   "recycle",    "recycling",
      "trademark",     "copyright",  "registered", "prohibited", "forbidden",  "label",
      "tag",           "ticket",     "license",    "credit",     "bookmark",   "book",
      "books",         "notebook",   "abacus",     "check",      "wc",         "closet",
      "restroom",      "yin",        "peace",      "om",         "hammer",     "sickle",
      "chess",         "puzzle",     "point",      "pointing",   "index",      "deaf",
      "zzz",           "sleep",      "speech",     "steam",      "bus",        "police",
      "ambulance",     "stop",       "toilet",     "shoe",       "salon",      "barber"};
  return words;
}

bool directed(const std::string& text) {
  for (const std::string& word : words_of(text)) {
    const bool has_digit = word.find_first_of("0123456789") != std::string::npos;
    if (has_digit || directed_words().contains(word)) return true;
  }
  return false;
}

/// A 3 x 3 matrix that turns the hue and scales the saturation; greys stay (rows sum to 1).
std::array<float, 9> colour_matrix(double hue, double saturation) {
  const double cosine = saturation * std::cos(hue);
  const double sine = saturation * std::sin(hue) / std::numbers::sqrt3;
  std::array<float, 9> matrix{};  // [3, 3]
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t column = 0; column < 3; ++column) {
      // Rodrigues' rotation about (1, 1, 1), its in-plane part scaled by the saturation.
      const double cross = row == column ? 0 : (column + 3 - row) % 3 == 1 ? -1 : 1;
      const double identity = row == column ? 1 : 0;
      matrix[row * 3 + column] =
          static_cast<float>(1.0 / 3 + cosine * (identity - 1.0 / 3) + sine * cross);
    }
  }
  return matrix;
}

/// One drawing with changed colours over white, [128, 128, 3] in [0, 1].
using Canvas = std::vector<float>;

Canvas compose(const std::uint8_t* rgba, const Augmentation& augmentation) {
  std::array<float, 256> curve{};
  for (std::size_t value = 0; value < curve.size(); ++value) {
    curve[value] =
        static_cast<float>(std::pow(static_cast<double>(value) / 255, augmentation.gamma));
  }
  const auto matrix = colour_matrix(augmentation.hue, augmentation.saturation);
  Canvas canvas(source_size * source_size * 3);
  for (std::size_t pixel = 0; pixel < canvas.size() / 3; ++pixel) {
    const std::uint8_t* in = rgba + pixel * 4;
    const float alpha = static_cast<float>(in[3]) / 255;
    for (std::size_t channel = 0; channel < 3; ++channel) {
      const float* row = &matrix[channel * 3];
      const float colour = row[0] * curve[in[0]] + row[1] * curve[in[1]] + row[2] * curve[in[2]];
      canvas[pixel * 3 + channel] = 1 - alpha * (1 - std::clamp(colour, 0.0F, 1.0F));
    }
  }
  return canvas;
}

/// Adds the bilinear sample at (x, y) in pixels of the drawing; outside everything is white.
void add_sample(const Canvas& canvas, float x, float y, std::array<float, 3>& inout_sum) {
  const float left = std::floor(x - 0.5F);
  const float top = std::floor(y - 0.5F);
  const float right_share = x - 0.5F - left;
  const float bottom_share = y - 0.5F - top;
  for (int corner = 0; corner < 4; ++corner) {
    const auto column = static_cast<std::int64_t>(left) + (corner & 1);
    const auto row = static_cast<std::int64_t>(top) + (corner >> 1);
    const float share = ((corner & 1) != 0 ? right_share : 1 - right_share) *
                        ((corner >> 1) != 0 ? bottom_share : 1 - bottom_share);
    const bool inside = column >= 0 && row >= 0 && column < source_size && row < source_size;
    const float* colour =
        inside ? &canvas[static_cast<std::size_t>((row * source_size + column) * 3)] : nullptr;
    for (std::size_t channel = 0; channel < 3; ++channel) {
      inout_sum[channel] += share * (inside ? colour[channel] : 1);
    }
  }
}

}  // namespace

bool may_mirror(const Caption& caption) {
  return !directed(caption.name) &&
         std::none_of(caption.keywords.begin(), caption.keywords.end(), directed);
}

PictureSource::PictureSource(torch::Tensor pixels, const std::vector<Caption>& captions)
    : pixels_(std::move(pixels)) {
  const bool fits = pixels_.scalar_type() == torch::kUInt8 && pixels_.dim() == 4 &&
                    pixels_.size(0) == static_cast<std::int64_t>(captions.size()) &&
                    pixels_.size(1) == source_size && pixels_.size(2) == source_size &&
                    pixels_.size(3) == 4;
  if (!fits) throw std::runtime_error("pictures: pixels are not U8 [captions, 128, 128, 4]");
  for (const Caption& caption : captions) may_mirror_.push_back(may_mirror(caption));
  for (std::int64_t picture = 0; picture < size(); ++picture) {
    const torch::Tensor opaque = pixels_[picture].select(2, 3) > 8;  // [128, 128]
    const auto half = [&](std::int64_t axis) {
      const torch::Tensor used = opaque.any(axis).nonzero().to(torch::kFloat64);
      return used.numel() == 0 ? 0.0 : ((used + 0.5 - 64).abs().max().item<double>() + 0.5) / 2;
    };
    half_width_.push_back(half(0));
    half_height_.push_back(half(1));
  }
}

Augmentation PictureSource::random_augmentation(std::int64_t picture, SplitMix& random) const {
  const auto at = static_cast<std::size_t>(picture);
  Augmentation augmentation;
  augmentation.scale = random.uniform(0.85, 1.0);
  const auto shift = [&](double half) {
    const double room = std::clamp(32 - augmentation.scale * half, 0.0, 3.0);
    return random.uniform(-room, room);
  };
  augmentation.shift_x = shift(half_width_[at]);
  augmentation.shift_y = shift(half_height_[at]);
  augmentation.angle = random.uniform(-6, 6) * degree;
  augmentation.hue = random.uniform(-4, 4) * degree;
  augmentation.saturation = random.uniform(0.92, 1.08);
  augmentation.gamma = std::exp(random.uniform(-0.08, 0.08));
  augmentation.flip = random.uniform() < 0.5 && may_mirror_[at];
  return augmentation;
}

Augmentation PictureSource::numbered_augmentation(std::int64_t picture, std::int64_t number,
                                                  std::uint64_t seed) const {
  if (number == 0) return {};
  SplitMix random{seed, static_cast<std::uint64_t>(picture), static_cast<std::uint64_t>(number)};
  return random_augmentation(picture, random);
}

void PictureSource::render(std::int64_t picture, const Augmentation& augmentation,
                           std::span<std::uint8_t> rgb) const {
  const std::uint8_t* rgba =
      pixels_.data_ptr<std::uint8_t>() + picture * source_size * source_size * 4;
  const Canvas canvas = compose(rgba, augmentation);
  // Two drawing pixels per picture pixel; each picture pixel is the mean of 2 x 2 samples.
  const double cosine = 2 * std::cos(augmentation.angle) / augmentation.scale;
  const double sine = 2 * std::sin(augmentation.angle) / augmentation.scale;
  const double mirror = augmentation.flip ? -1 : 1;
  for (std::int64_t row = 0; row < picture_size; ++row) {
    for (std::int64_t column = 0; column < picture_size; ++column) {
      std::array<float, 3> sum{};
      for (int sample = 0; sample < 4; ++sample) {
        const double x = static_cast<double>(column) + 0.25 + 0.5 * (sample & 1) -
                         picture_size / 2.0 - augmentation.shift_x;
        const double y = static_cast<double>(row) + 0.25 + 0.5 * (sample >> 1) -
                         picture_size / 2.0 - augmentation.shift_y;
        add_sample(canvas, static_cast<float>(64 + mirror * (cosine * x + sine * y)),
                   static_cast<float>(64 - sine * x + cosine * y), sum);
      }
      for (std::size_t channel = 0; channel < 3; ++channel) {
        rgb[static_cast<std::size_t>(row * picture_size + column) * 3 + channel] =
            static_cast<std::uint8_t>(std::lround(sum[channel] / 4 * 255));
      }
    }
  }
}

}  // namespace sjd::train
