// SPDX-License-Identifier: Apache-2.0
#include "gallery.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "exit_codes.hpp"
#include "measure.hpp"
#include "png.hpp"
#include "progress.hpp"

namespace sjd::bench {
namespace {

constexpr std::size_t prompts_a_sheet = 8;
constexpr std::int64_t pairs_a_line = 2;
constexpr std::int64_t scale = 2;
constexpr std::int64_t gap = 12;
constexpr std::int64_t gap_in_pair = 2;

/// One prompt, painted twice.
struct Pair {
  std::string prompt;
  paint::Raster plain;
  paint::Raster fast;
  double tokens_per_pass = 0.0;
};

struct Section {
  std::string title;
  std::string file_stem;
  std::vector<Pair> pairs;
};

std::vector<Pair> paint_pairs(paint::Studio& studio, const std::string& split, std::int64_t count,
                              const BenchOptions& options) {
  const double guidance = options.guidance.front();
  const Cell plain{paint::find_composition("ar"), {}, guidance, options.temperature};
  const Cell fast{&paint::default_composition(studio), {}, guidance, options.temperature};
  const auto ar = plain.composition->make(studio.engine(), plain.plan);
  const auto denoiser = fast.composition->make(studio.engine(), fast.plan);
  const auto keep_going = [](const IterationEvent&) {
    paint::check_interrupt();
    return true;
  };
  paint::Progress progress{"gallery, " + split, count};
  std::vector<Pair> pairs;
  for (const PromptEntry& entry : draw_prompts(studio, split, count, options.seed)) {
    const paint::Request request =
        request_of(plain, entry, options.seed, pairs.size(), studio.tokens());
    const auto slow = ar->generate({&request, 1}, keep_going).front();
    const auto quick = denoiser->generate({&request, 1}, keep_going).front();
    pairs.push_back({entry.prompt, paint::upscale(studio.picture(slow.tokens), scale),
                     paint::upscale(studio.picture(quick.tokens), scale), quick.tokens_per_pass()});
    progress.advance(1);
  }
  return pairs;
}

/// Sheets of one section as Markdown; writes their PNGs.
std::string write_sheets(const Section& section, const std::filesystem::path& folder) {
  std::string text = fmt::format("\n## {}\n", section.title);
  for (std::size_t first = 0; first < section.pairs.size(); first += prompts_a_sheet) {
    const std::size_t end = std::min(first + prompts_a_sheet, section.pairs.size());
    std::vector<paint::Raster> cells;
    std::string captions;
    for (std::size_t i = first; i < end; ++i) {
      const Pair& pair = section.pairs[i];
      const std::vector<paint::Raster> both{pair.plain, pair.fast};
      cells.push_back(paint::contact_sheet(both, 2, gap_in_pair));
      const bool starts_line = (i - first) % pairs_a_line == 0;
      captions += fmt::format("{}{} ({:.1f})", starts_line ? "\n| " : " | ", pair.prompt,
                              pair.tokens_per_pass);
      if (!starts_line || i + 1 == end) captions += " |";
    }
    const std::string name =
        fmt::format("{}-{}.png", section.file_stem, first / prompts_a_sheet + 1);
    paint::write_picture(folder / name, paint::contact_sheet(cells, pairs_a_line, gap));
    text += fmt::format(
        "\n![AR and the default side by side]({})\n\n| left pair | right pair |\n| --- | --- |{}\n",
        name, captions);
  }
  return text;
}

/// The picture of the README: the first pictures of the sections, painted by the default.
void write_hero(const std::vector<Section>& sections, const std::filesystem::path& folder) {
  constexpr std::size_t each = 4;
  std::vector<paint::Raster> cells;
  for (const Section& section : sections) {
    for (std::size_t i = 0; i < std::min(each, section.pairs.size()); ++i) {
      cells.push_back(section.pairs[i].fast);
    }
  }
  paint::write_picture(folder / "hero.png", paint::contact_sheet(cells, 6, gap_in_pair));
}

std::string introduction(const paint::Studio& studio, const BenchOptions& options) {
  const paint::Composition& fast = paint::default_composition(studio);
  const paint::Plan plan;
  return fmt::format(
      "# Gallery\n\nEvery pair is one prompt painted twice with the same seed: left by plain AR, "
      "right by `{}` "
      "(window {}, levels {}), both with\nguidance {}, temperature {} and `{}.safetensors`. The "
      "two are different "
      "draws from the same law, so they differ in detail and not\nin kind. In brackets: tokens a "
      "forward pass of the "
      "right one. The prompts were drawn by seed {}; none was left out.\n`hero.png` shows the "
      "first four of each "
      "section.\n\nPainted by `bench --gallery DIR --seed {} --guidance {} --temperature {}`, {} "
      "tokens a picture.\n",
      fast.name, plan.window, plan.levels, options.guidance.front(), options.temperature,
      options.studio.weights, options.seed, options.seed, options.guidance.front(),
      options.temperature, studio.tokens());
}

}  // namespace

void make_gallery(paint::Studio& studio, const BenchOptions& options) {
  std::filesystem::create_directories(options.gallery);
  std::vector<Section> sections{
      {"Names that the model was trained on", "train", {}},
      {"Held out: new combinations of known words", "new-combinations", {}},
      {"Held out: new concepts", "new-concepts", {}},
  };
  sections[0].pairs = paint_pairs(studio, "train", 32, options);
  sections[1].pairs = paint_pairs(studio, "new_combinations", 16, options);
  sections[2].pairs = paint_pairs(studio, "new_concepts", 16, options);
  std::string text = introduction(studio, options);
  for (const Section& section : sections) text += write_sheets(section, options.gallery);
  write_hero(sections, options.gallery);
  paint::write_file(options.gallery / "README.md", text);
  fmt::print("{}: README.md, hero.png and the sheets of 64 prompts\n", options.gallery.string());
}

}  // namespace sjd::bench
