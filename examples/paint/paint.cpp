// SPDX-License-Identifier: Apache-2.0
// Text to picture: paint red apple
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <sjd/core/stopwatch.hpp>
#include <string>
#include <vector>

#include "batch_job.hpp"
#include "exit_codes.hpp"
#include "options.hpp"
#include "png.hpp"
#include "preview.hpp"
#include "progress.hpp"
#include "report.hpp"
#include "studio.hpp"
#include "trace.hpp"
#include "words.hpp"

namespace sjd::paint {
namespace {

/// Says on standard error which words the model did not take, and what it would have understood.
void warn_about_words(const Studio& studio, const ReadPrompt& prompt) {
  if (!prompt.unknown_words.empty()) {
    const std::vector<std::string> known = studio.words();
    for (const std::string& word : prompt.unknown_words) {
      const std::vector<std::string> near = nearby_words(word, known);
      const std::string hint = near.empty() ? "" : fmt::format("; it knows {}", listed(near));
      fmt::print(stderr, "paint: the model does not know the word \"{}\"{}\n", word, hint);
    }
  }
  if (!prompt.surplus_words.empty()) {
    fmt::print(stderr, "paint: the model takes {} words; left out: {}\n", studio.max_words(),
               listed(prompt.surplus_words));
  }
  if (prompt.ids.empty()) {
    fmt::print(stderr, "paint: no word is left, so the picture is drawn without a subject\n");
  }
}

/// Whoever wants to see the iterations of one painting.
struct Observers {
  std::optional<Preview> preview;
  std::optional<Trace> trace;
  std::optional<Progress> progress;

  bool operator()(const IterationEvent& event) {
    check_interrupt();
    if (preview) preview->on_iteration(event);
    if (trace) trace->on_iteration(event);
    if (progress) progress->advance(event.committed);
    return true;
  }
};

void watch(const Studio& studio, const Composition& composition, const Options& options,
           Observers& observers) {
  if (options.preview) {
    observers.preview.emplace(studio, options.count, options.plan.levels);
  } else {
    observers.progress.emplace("painting with " + title(composition),
                               options.count * studio.tokens());
  }
}

Painting decode(Studio& studio, const Composition& composition, const Options& options,
                const WordIds& words, Observers& observers) {
  std::vector<Request> requests;
  for (std::int64_t i = 0; i < options.count; ++i) {
    requests.push_back(request_of(options, words, studio.tokens(), static_cast<std::uint64_t>(i)));
  }
  const std::unique_ptr<Decoder> decoder = composition.make(studio.engine(), options.plan);
  Painting painting{.composition = &composition};
  const Stopwatch clock;
  painting.results = decoder->generate(requests, std::ref(observers));
  painting.seconds = clock.seconds();
  return painting;
}

/// Decodes, watches, and turns the tokens into pictures.
Painting paint_all(Studio& studio, const Composition& composition, const Options& options,
                   const WordIds& words, Observers& observers, std::vector<Raster>& pictures) {
  watch(studio, composition, options, observers);
  Painting painting = decode(studio, composition, options, words, observers);
  observers.progress.reset();
  for (const GenerationResult& result : painting.results) {
    check_interrupt();
    pictures.push_back(studio.picture(result.tokens));
  }
  if (observers.preview) observers.preview->finish(pictures);
  observers.preview.reset();
  return painting;
}

/// The sheet of these options, before anything is painted for it.
///
/// errors  UsageError if no PNG can hold it
SheetLayout plan_sheet(const Options& options, const Studio& studio) {
  const SheetContent content{.groups = options.count,
                             .abreast = options.compare ? 2 : 1,
                             .width = studio.picture_width() * options.upscale,
                             .height = studio.picture_height() * options.upscale,
                             .gap = 2 * options.upscale};
  const SheetLayout sheet = sheet_layout(content, largest_png_side);
  if (std::max(sheet.width, sheet.height) <= largest_png_side) return sheet;
  throw UsageError{fmt::format(
      "--count {}{} with --upscale {} makes a sheet of {} x {} pixels, and a PNG has at most {} "
      "each way; lower --count or --upscale, or paint with --prompts",
      options.count, options.compare ? " --compare" : "", options.upscale, sheet.width,
      sheet.height, largest_png_side)};
}

/// The PNG: one picture, a sheet, or pairs of AR and the other decoder side by side.
Raster compose(const std::vector<std::vector<Raster>>& columns, std::int64_t factor,
               const SheetLayout& sheet) {
  std::vector<Raster> cells;
  const std::size_t count = columns.front().size();
  for (std::size_t i = 0; i < count; ++i) {
    for (const std::vector<Raster>& column : columns) {
      cells.push_back(upscale(column[i], factor));
    }
  }
  return contact_sheet(cells, sheet.columns, 2 * factor);
}

void report(const std::vector<Painting>& paintings, const Raster& sheet, const Options& options) {
  if (options.json) {
    for (const Painting& painting : paintings) {
      for (std::size_t i = 0; i < painting.results.size(); ++i) {
        fmt::print("{}\n", json_line(painting, i, options));
      }
    }
    return;
  }
  fmt::print("{}: {} x {} pixels, \"{}\", seed {}, guidance {}, temperature {}\n",
             options.output.string(), sheet.width, sheet.height, options.prompt, options.seed,
             options.guidance, options.temperature);
  for (const Painting& painting : paintings) {
    fmt::print("{}", summary(painting, options));
    if (options.verbose) fmt::print("{}", acceptance_by_slot(painting));
  }
  if (paintings.size() > 1) {
    fmt::print("  left AR, right {}: {:.2f} times the speed\n", title(*paintings[1].composition),
               paintings[0].seconds / paintings[1].seconds);
  }
}

int list_words(const Studio& studio) {
  for (const std::string& word : studio.words()) fmt::print("{}\n", word);
  return exit_ok;
}

/// Says on standard error why the window does not go by cost although nobody fixed it.
void note_window(const Options& options, const Composition& composition) {
  if (!options.verbose || options.fixed_window || options.plan.by_cost) return;
  if (!composition.uses_window) return;
  const char* why = options.studio.device == "cpu" ? "no costs.json in the model directory"
                                                   : "no --costs of this device";
  fmt::print(stderr, "paint: {}, the window is {}\n", why, options.plan.window);
}

/// From a loaded model to a PNG and its report.
void paint(const Options& given, Studio& studio) {
  const Composition& composition = check_against_model(given, studio);
  const SheetLayout layout = plan_sheet(given, studio);
  const Options options = with_window_plan(given, composition, studio);
  note_window(options, composition);
  const ReadPrompt prompt = studio.read(options.prompt);
  warn_about_words(studio, prompt);
  Observers observers;
  if (!options.trace.empty()) observers.trace.emplace(options.trace, studio, composition, options);
  std::vector<Painting> paintings;
  std::vector<std::vector<Raster>> columns;
  if (options.compare) {
    Observers plain;
    paintings.push_back(paint_all(studio, *find_composition(composition.baseline), options,
                                  prompt.ids, plain, columns.emplace_back()));
  }
  paintings.push_back(
      paint_all(studio, composition, options, prompt.ids, observers, columns.emplace_back()));
  const Raster sheet = compose(columns, options.upscale, layout);
  check_interrupt();
  if (observers.trace) observers.trace->publish();
  write_picture(options.output, sheet);
  report(paintings, sheet, options);
}

int run(const std::vector<std::string>& arguments) {
  const Options options = parse_options(arguments);
  if (options.help) {
    fmt::print("{}", help_text());
    return exit_ok;
  }
  const bool batch = !options.prompts.empty();
  if (!options.list_words && !batch) check_writable(options.output);
  watch_interrupts();
  const Stopwatch clock;
  Studio studio{options.studio};
  const double load_seconds = clock.seconds();
  if (options.list_words) return list_words(studio);
  if (batch) {
    paint_batch(options, studio);
  } else {
    paint(options, studio);
  }
  if (options.verbose) {
    fmt::print(stderr, "paint: {}, {} threads, {:.2f} s to load, {:.2f} s in all\n",
               studio.directory().string(), studio.threads(), load_seconds, clock.seconds());
  }
  return exit_ok;
}

}  // namespace
}  // namespace sjd::paint

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return sjd::paint::guarded("paint", [&] { return sjd::paint::run(arguments); });
}
