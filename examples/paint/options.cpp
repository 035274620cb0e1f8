// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "costs.hpp"
#include "exit_codes.hpp"
#include "flags.hpp"
#include "png.hpp"
#include "words.hpp"

namespace sjd::paint {
namespace {

std::vector<std::string> decoder_names() {
  std::vector<std::string> names;
  for (const Composition& entry : compositions()) {
    const std::string name{entry.decoder};
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::vector<std::string> couplings_of(std::string_view decoder) {
  std::vector<std::string> names;
  for (const Composition& entry : compositions()) {
    if (entry.decoder == decoder) names.emplace_back(entry.coupling);
  }
  return names;
}

Flag integer_flag(const char* name, std::int64_t& target, std::int64_t least, std::int64_t most) {
  return {name, true, [=, &target](const std::string& text) {
            target = integer_value(name, text, least, most);
          }};
}

Flag real_flag(const char* name, double& target, double least, double most) {
  return {name, true,
          [=, &target](const std::string& text) { target = real_value(name, text, least, most); }};
}

Flag choice_flag(const char* name, std::string& target, std::vector<std::string> choices) {
  return {name, true,
          [=, &target](const std::string& text) { target = choice_value(name, text, choices); }};
}

Flag path_flag(const char* name, std::filesystem::path& target, const char* short_name = "") {
  return {name, true,
          [=, &target](const std::string& text) {
            if (text.empty()) throw UsageError{fmt::format("{}: the name is empty", name)};
            target = text;
          },
          short_name};
}

Flag switch_flag(const char* name, bool& target, const char* short_name = "") {
  return {name, false, [&target](const std::string&) { target = true; }, short_name};
}

void read_window(const std::string& text, Options& o) {
  o.fixed_window = text != "auto";
  if (o.fixed_window) o.plan.window = window_value("--window", text);
}

std::vector<Flag> flags_of(Options& o, std::int64_t& levels, std::int64_t& threads) {
  return {
      path_flag("--output", o.output, "-o"),
      path_flag("--prompts", o.prompts),
      integer_flag("--count", o.count, 1, 256),
      {"--seed", true, [&o](const std::string& text) { o.seed = seed_value("--seed", text); }},
      choice_flag("--decoder", o.decoder, decoder_names()),
      choice_flag("--coupling", o.coupling, {"none", "maximal", "corrected", "gumbel"}),
      {"--window", true, [&o](const std::string& text) { read_window(text, o); }},
      integer_flag("--levels", levels, 1, 4096),
      real_flag("--guidance", o.guidance, 0.0, 20.0),
      real_flag("--temperature", o.temperature, 0.0, 10.0),
      integer_flag("--top-k", o.top_k, 0, 1 << 20),
      real_flag("--top-p", o.top_p, 0.001, 1.0),
      switch_flag("--compare", o.compare),
      switch_flag("--json", o.json),
      switch_flag("--preview", o.preview),
      switch_flag("--verbose", o.verbose, "-v"),
      switch_flag("--words", o.list_words),
      switch_flag("--help", o.help, "-h"),
      integer_flag("--upscale", o.upscale, 1, 16),
      integer_flag("--batch", o.batch, 1, 256),
      integer_flag("--threads", threads, 1, 256),
      path_flag("--trace", o.trace),
      path_flag("--costs", o.costs),
      path_flag("--model", o.studio.model),
      choice_flag("--weights", o.studio.weights, {"base", "sjd2"}),
      choice_flag("--device", o.studio.device, {"cpu", "cuda"}),
  };
}

/// A batch has its prompts from a file and writes one plain picture a line.
void check_batch(const Options& options) {
  const auto refuse = [](const char* text) { throw UsageError{std::string{"--prompts: "} + text}; };
  if (!options.prompt.empty()) refuse("words to paint cannot be given beside it");
  if (options.output.empty()) refuse("--output DIR is needed with it");
  if (options.compare || options.preview || options.json || !options.trace.empty()) {
    refuse("--compare, --preview, --json and --trace are for one sheet");
  }
  if (options.count != 1) refuse("--count is for one sheet; a line may be repeated");
}

}  // namespace

Options parse_options(std::span<const std::string> arguments) {
  Options options;
  std::int64_t levels = options.plan.levels;
  std::int64_t threads = 0;
  const std::vector<std::string> words = parse_flags(arguments, flags_of(options, levels, threads));
  options.plan.levels = static_cast<std::int32_t>(levels);
  options.studio.threads = static_cast<int>(threads);
  options.studio.sequences = std::min(options.batch, options.count);
  for (const std::string& word : words) {
    if (!options.prompt.empty()) options.prompt += ' ';
    options.prompt += word;
  }
  if (options.help || options.list_words) return options;
  if (!options.prompts.empty()) {
    check_batch(options);
    options.studio.sequences = options.batch;
    return options;
  }
  if (options.prompt.empty()) {
    throw UsageError{"say what to paint, for example: paint red apple (--help tells more)"};
  }
  if (options.output.empty()) options.output = file_stem(options.prompt) + ".png";
  return options;
}

const Composition& check_against_model(const Options& options, const Studio& studio) {
  const Composition* composition = find_composition(options.decoder, options.coupling);
  if (composition == nullptr) {
    throw UsageError{fmt::format("--coupling {}: one of {} is needed with --decoder {}",
                                 options.coupling, fmt::join(couplings_of(options.decoder), ", "),
                                 options.decoder)};
  }
  if (composition->uses_corrector && !studio.has_corrector()) {
    if (!options.coupling.empty()) {
      throw UsageError{
          "--coupling corrected: these weights have no corrector head; one of none, "
          "maximal, gumbel is needed"};
    }
    composition = find_composition(options.decoder, "maximal");
  }
  if (options.compare && !composition->uses_window) {
    throw UsageError{"--compare: a --decoder other than ar is needed; AR stands beside it"};
  }
  if (options.fixed_window && options.plan.window > studio.tokens()) {
    throw UsageError{fmt::format("--window {}: a whole number in 1 .. {} is needed",
                                 options.plan.window, studio.tokens())};
  }
  if (!composition->uses_noise) return *composition;
  if (!studio.accepts_noise()) {
    throw UsageError{fmt::format(
        "--weights {}: sjd2 is needed with --decoder {}; the other was trained without noise",
        options.studio.weights, options.decoder)};
  }
  const std::vector<std::int32_t> counts = studio.level_counts();
  if (std::find(counts.begin(), counts.end(), options.plan.levels) == counts.end()) {
    throw UsageError{fmt::format("--levels {}: one of {} is needed with this model",
                                 options.plan.levels, fmt::join(counts, ", "))};
  }
  return *composition;
}

Request request_of(const Options& options, const WordIds& words, std::int64_t tokens,
                   std::uint64_t sample) {
  Request request;
  request.prompt = words;
  request.tokens = tokens;
  request.seed = options.seed;
  request.sample = sample;
  request.sampling = {.temperature = static_cast<float>(options.temperature),
                      .top_k = options.top_k,
                      .top_p = static_cast<float>(options.top_p)};
  if (options.guidance != 1.0) request.guidance = {static_cast<float>(options.guidance)};
  return request;
}

Options with_window_plan(Options options, const Composition& composition, const Studio& studio) {
  if (options.fixed_window || !composition.uses_window) return options;
  std::filesystem::path file = options.costs;
  if (file.empty()) {
    if (options.studio.device != "cpu") return options;  // costs.json is of a CPU
    file = studio.directory() / "costs.json";
    if (!std::filesystem::exists(file)) return options;
  }
  options.plan.by_cost =
      plan_window(read_costs(file), options.studio.sequences, branches_of(options),
                  composition.uses_noise ? options.plan.levels : 0);
  return options;
}

std::string help_text() {
  const Options d;
  return fmt::format(
      R"(paint - draws a picture of your words, on this machine, many tokens a pass

usage: paint [options] PROMPT...

  paint red apple                      writes red-apple.png
  paint --count 9 --seed 4 cat face    nine cats on one sheet, cat-face.png
  paint --preview blue car             watch it grow in the terminal
  paint --prompts words.txt -o pictures
                                       thousands; stop it and start it again at will
  paint --compare green heart          one token a pass beside the default, both reported
  paint --decoder ar --coupling gumbel --json sun
  paint --decoder sjd2 --coupling gumbel --json sun      the same token_digest, fewer passes

picture
  -o, --output FILE   the PNG to write (default: the words with dashes)
  --count N           N pictures on one sheet, 1 .. 256 (default {count})
  --seed N            same seed, same picture (default {seed})
  --guidance S        how closely to follow the words, 0 .. 20; 1 = off (default {guidance})
  --temperature T     0 .. 10; 0 = always the likeliest token (default {temperature})
  --top-k K           keep the K likeliest tokens; 0 = all (default {top_k})
  --top-p P           keep the likeliest tokens up to this share, 0.001 .. 1 (default {top_p})
  --upscale N         pixels of the PNG per pixel of the model, 1 .. 16 (default {upscale}); a
                      sheet has at most {side} each way

many pictures
  --prompts FILE      one prompt a line; paints NUMBER-WORDS.png of each into the directory
                      --output DIR; line n is sample n - 1 of --seed, whatever was painted before;
                      a run that was stopped goes on when the same command is given again

decoding
  --decoder NAME      {decoders} (default {decoder})
  --coupling NAME     none: drafts are redrawn; maximal: they change as rarely as they may;
                      corrected: maximal, and a small head redraws the drafts behind a rejection;
                      gumbel: noise fixed per position, the tokens are AR's own, bit for bit
                      (default: corrected where decoder and weights have it, else maximal)
  --window auto|N     rows a pass, the last token and N - 1 drafts, 1 .. tokens; auto chooses them
                      for every pass by what passes cost (default auto; {window} without costs)
  --costs FILE        what passes cost on this machine, written by bench --write-costs FILE
                      (default: costs.json of the model directory)
  --levels K          noise levels of sjd2; the model says which (default {levels})
  --batch N           pictures a pass of --count, 1 .. 256 (default {batch}); with --window N or
                      gumbel it never changes a token, auto has a plan for each size
  --compare           decode with AR too; one picture beside the other in the PNG

what you see
  --preview           the picture grows in the terminal: drafts dim, noise as specks
  --trace FILE        one JSON line an iteration; examples/paint/trace.html plays it
  --json              one JSON object a picture on standard output, nothing else there
  --words             list the words that the model knows
  -v, --verbose       times and acceptance by slot
  -h, --help          this text

machine
  --threads N         1 .. 256 (default: every core); never changes a token
  --device NAME       cpu or cuda, where the model runs (default cpu); cuda rounds otherwise, so
                      its pictures are others of the same law, and gumbel equals AR nearly always
                      only; the window is not planned without --costs
  --model DIR         the model directory (default: SJD_MODEL, else the one shipped)
  --weights NAME      sjd2 or base; base was trained without noise (default sjd2)

Every decoder but the one called ungated is lossless: its pictures follow the law of plain
autoregressive decoding. The report says so each time.

exit codes: 0 painted, 64 bad option, 65 bad model file, 70 a defect of paint, 74 cannot read or
write, 130 interrupted
)",
      fmt::arg("count", d.count), fmt::arg("seed", d.seed), fmt::arg("guidance", d.guidance),
      fmt::arg("temperature", d.temperature), fmt::arg("top_k", d.top_k),
      fmt::arg("top_p", d.top_p), fmt::arg("upscale", d.upscale),
      fmt::arg("side", largest_png_side), fmt::arg("decoders", fmt::join(decoder_names(), ", ")),
      fmt::arg("decoder", d.decoder), fmt::arg("window", d.plan.window),
      fmt::arg("levels", d.plan.levels), fmt::arg("batch", d.batch));
}

}  // namespace sjd::paint
