// SPDX-License-Identifier: Apache-2.0
#include "batch_job.hpp"

#include <fmt/format.h>
#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>
#include <sjd/core/error.hpp>
#include <sjd/core/stopwatch.hpp>
#include <sjd/detail/state_bytes.hpp>
#include <sjd/hosts/detail/input_file.hpp>
#include <sjd/version.hpp>
#include <span>
#include <vector>

#include "batch_folder.hpp"
#include "exit_codes.hpp"
#include "progress.hpp"
#include "prompt_file.hpp"
#include "report.hpp"
#include "words.hpp"

namespace sjd::paint {
namespace {

/// One picture of the batch.
struct Item {
  std::int64_t line = 0;
  std::string name;
  WordIds words;
};

std::string file_digest(const std::filesystem::path& path) {
  constexpr std::int64_t most_bytes = std::int64_t{1} << 40;
  const std::string bytes = hosts::detail::read_text(path, most_bytes);
  return fmt::format("{:016x}", sjd::detail::fnv64(std::as_bytes(std::span{bytes})));
}

/// Every line as the model reads it; says on standard error how many hold words it does not know.
std::vector<Item> read_items(const PromptFile& file, const Studio& studio) {
  std::vector<Item> items;
  std::int64_t strange_lines = 0;
  std::string example;
  for (const PromptLine& line : file.lines) {
    try {
      ReadPrompt read = studio.read(line.prompt);
      if (!read.unknown_words.empty() && ++strange_lines == 1) {
        example = fmt::format("\"{}\" in line {}", read.unknown_words.front(), line.number);
      }
      items.push_back({line.number, picture_name(line.number, line.prompt), std::move(read.ids)});
    } catch (const Error& error) {
      throw Error{ErrorCode::bad_file,
                  fmt::format("{}: line {}: {}", file.path.string(), line.number, error.what())};
    }
  }
  if (strange_lines > 0) {
    fmt::print(stderr, "paint: {} of {} prompts hold words that the model does not know: {}\n",
               strange_lines, items.size(), example);
  }
  return items;
}

/// Decodes `items` a few passes at a time and puts each picture into the folder when it is done.
class BatchPainter {
 public:
  BatchPainter(const Options& options, const Composition& composition, Studio& studio,
               const BatchFolder& folder, std::span<const Item> items)
      : options_{options}, studio_{studio}, folder_{folder}, items_{items} {
    painting_.composition = &composition;
  }

  /// errors  Interrupted, and whatever decoding and writing throw; finished pictures stay
  const Painting& paint() {
    // Results stay in memory until a call of the decoder ends, so one call does not take all.
    constexpr std::size_t most_requests = 1'024;
    Progress progress{fmt::format("painting {} pictures", items_.size()),
                      static_cast<std::int64_t>(items_.size()) * studio_.tokens()};
    const auto decoder = painting_.composition->make(studio_.engine(), options_.plan);
    const Stopwatch clock;
    for (std::size_t first = 0; first < items_.size(); first += most_requests) {
      part_ = items_.subspan(first, std::min(most_requests, items_.size() - first));
      decode(*decoder, progress);
    }
    painting_.seconds = clock.seconds();
    return painting_;
  }

  [[nodiscard]] std::int64_t painted() const { return painted_; }

 private:
  void decode(Decoder& decoder, Progress& progress) {
    std::vector<Request> requests;
    for (const Item& item : part_) {
      const auto sample = static_cast<std::uint64_t>(item.line - 1);
      requests.push_back(request_of(options_, item.words, studio_.tokens(), sample));
    }
    const auto results = decoder.generate(requests, [&](const IterationEvent& event) {
      check_interrupt();
      progress.advance(event.committed);
      if (event.state.finished()) publish(event.state.sample, event.state.tokens);
      return true;
    });
    for (std::size_t i = 0; i < results.size(); ++i) {
      // A picture of one token is done before its first iteration.
      if (studio_.tokens() == 1) publish(requests[i].sample, results[i].tokens);
      painting_.results.push_back(results[i]);
    }
  }

  void publish(std::uint64_t sample, std::span<const TokenId> tokens) {
    const auto line = static_cast<std::int64_t>(sample) + 1;
    const auto item = std::lower_bound(part_.begin(), part_.end(), line,
                                       [](const Item& a, std::int64_t b) { return a.line < b; });
    folder_.put(item->name, upscale(studio_.picture(tokens), options_.upscale));
    painted_ += 1;
  }

  const Options& options_;
  Studio& studio_;
  const BatchFolder& folder_;
  std::span<const Item> items_;
  std::span<const Item> part_{};
  Painting painting_{};
  std::int64_t painted_ = 0;
};

}  // namespace

std::string picture_name(std::int64_t line, std::string_view prompt) {
  return fmt::format("{:06}-{}.png", line, file_stem(prompt));
}

std::string manifest_of(const Options& options, const Composition& composition,
                        const Studio& studio, std::uint64_t prompts_digest) {
  // A member that Plan gains must be named here, and written below if it decides a token.
  const auto& [window, by_cost, levels, descent, tokens_per_level, depth] = options.plan;
  std::string text = fmt::format("sjd-paint-batch 1\nprogram {}\nlibpng {}\nzlib {}\n", SJD_VERSION,
                                 png_get_libpng_ver(nullptr), zlibVersion());
  text += fmt::format("prompts {:016x}\nseed {}\ndecoder {}\n", prompts_digest, options.seed,
                      composition.name);
  if (composition.uses_window) {
    text += by_cost ? fmt::format("window by {}\n", by_cost->fingerprint())
                    : fmt::format("window {}\n", window);
  }
  if (composition.uses_corrector) text += fmt::format("depth {}\n", depth);
  if (composition.uses_noise) {
    text += fmt::format("levels {}\ndescent {}\ntokens_per_level {}\n", levels,
                        static_cast<int>(descent), tokens_per_level);
  }
  text +=
      fmt::format("guidance {}\ntemperature {}\ntop_k {}\ntop_p {}\nupscale {}\n", options.guidance,
                  options.temperature, options.top_k, options.top_p, options.upscale);
  std::vector<std::string> files{"config.json", "tokenizer.json", "decoder.safetensors",
                                 options.studio.weights + ".safetensors"};
  if (composition.uses_corrector) files.emplace_back("corrector.safetensors");
  for (const std::string& file : files) {
    text += fmt::format("{} {}\n", file, file_digest(studio.directory() / file));
  }
  return text;
}

void paint_batch(const Options& given, Studio& studio) {
  const Composition& composition = check_against_model(given, studio);
  const Options options = with_window_plan(given, composition, studio);
  const PromptFile file = read_prompts(options.prompts);
  std::vector<Item> items = read_items(file, studio);
  const std::size_t count = items.size();
  std::set<std::string> names;
  for (const Item& item : items) names.insert(item.name);
  const BatchFolder folder{options.output, manifest_of(options, composition, studio, file.digest),
                           std::move(names)};
  std::erase_if(items, [&](const Item& item) {
    check_interrupt();
    return folder.holds(item.name);
  });
  const std::size_t before = count - items.size();
  BatchPainter painter{options, composition, studio, folder, items};
  try {
    const Painting& painting = painter.paint();
    fmt::print("{}: {} pictures, {} of them painted before, seed {}, guidance {}, temperature {}\n",
               options.output.string(), count, before, options.seed, options.guidance,
               options.temperature);
    if (!items.empty()) fmt::print("{}", summary(painting, options));
  } catch (const Interrupted&) {
    fmt::print(stderr, "paint: {} of {} pictures are painted; the same command goes on\n",
               before + static_cast<std::size_t>(painter.painted()), count);
    throw;
  }
}

}  // namespace sjd::paint
