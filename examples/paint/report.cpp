// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

namespace sjd::paint {
namespace {

/// Rows a branch in a pass, on average.
double mean_window(std::span<const GenerationResult> results, const Options& options) {
  std::int64_t rows = 0;
  std::int64_t passes = 0;
  for (const GenerationResult& result : results) {
    rows += result.statistics.rows;
    passes += result.statistics.forward_passes;
  }
  return static_cast<double>(rows) /
         static_cast<double>(branches_of(options) * std::max<std::int64_t>(passes, 1));
}

/// Options that mean something to this composition, as "window 32, levels 2, ".
std::string plan_text(const Painting& painting, const Options& options) {
  const Composition& composition = *painting.composition;
  const Plan& plan = options.plan;
  std::string text;
  if (composition.uses_window) {
    text += plan.by_cost
                ? fmt::format("window by cost ({:.1f}), ", mean_window(painting.results, options))
                : fmt::format("window {}, ", plan.window);
  }
  if (composition.uses_noise) text += fmt::format("levels {}, ", plan.levels);
  return text;
}

std::string promise(const Composition& composition, const Options& options) {
  if (!composition.is_lossless) return "LOSSY";
  // Only a model whose rows do not depend on their neighbours has the same bits in both.
  const bool equal = composition.equals_ar && options.studio.device == "cpu";
  return equal && composition.uses_window ? "lossless, the tokens of AR" : "lossless";
}

}  // namespace

std::string token_digest(std::span<const TokenId> tokens) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const TokenId token : tokens) {
    for (unsigned byte = 0; byte < 4; ++byte) {
      hash ^= (static_cast<std::uint32_t>(token) >> (8U * byte)) & 0xFFU;
      hash *= 0x100000001B3U;
    }
  }
  return fmt::format("{:016x}", hash);
}

std::string title(const Composition& composition) {
  const bool plain = composition.coupling == "none";
  return plain ? std::string{composition.decoder}
               : fmt::format("{} + {}", composition.decoder, composition.coupling);
}

std::string json_line(const Painting& painting, std::size_t index, const Options& options) {
  const GenerationResult& result = painting.results[index];
  const Composition& composition = *painting.composition;
  nlohmann::ordered_json line;
  line["prompt"] = options.prompt;
  line["seed"] = options.seed;
  line["sample"] = index;
  line["decoder"] = composition.decoder;
  line["coupling"] = composition.coupling;
  line["lossless"] = composition.is_lossless;
  if (composition.uses_window) {
    if (options.plan.by_cost) {
      line["window"] = "auto";
    } else {
      line["window"] = options.plan.window;
    }
    line["mean_window"] = mean_window({&result, 1}, options);
  }
  if (composition.uses_noise) line["levels"] = options.plan.levels;
  line["weights"] = options.studio.weights;
  line["guidance"] = options.guidance;
  line["temperature"] = options.temperature;
  line["tokens"] = result.tokens.size();
  line["forward_passes"] = result.statistics.forward_passes;
  line["tokens_per_pass"] = result.tokens_per_pass();
  line["rows"] = result.statistics.rows;
  line["seconds"] = result.host_seconds + result.library_seconds;
  line["seconds_host"] = result.host_seconds;
  line["seconds_library"] = result.library_seconds;
  line["seconds_corrector"] = result.corrector_seconds;
  line["token_digest"] = token_digest(result.tokens);
  line["output"] = options.output.string();
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string summary(const Painting& painting, const Options& options) {
  std::int64_t passes = 0;
  std::int64_t tokens = 0;
  double host = 0.0;
  double library = 0.0;
  for (const GenerationResult& result : painting.results) {
    passes += result.statistics.forward_passes;
    tokens += static_cast<std::int64_t>(result.tokens.size());
    host += result.host_seconds;
    library += result.library_seconds;
  }
  const double tau =
      static_cast<double>(tokens) / static_cast<double>(std::max<std::int64_t>(passes, 1));
  const auto count = static_cast<std::int64_t>(painting.results.size());
  return fmt::format(
      "  {:<16} {}{}: {:.1f} tokens a pass, {} passes for {} tokens, {:.2f} s ({:.0f} % in the "
      "model){}\n",
      title(*painting.composition), plan_text(painting, options),
      promise(*painting.composition, options), tau, passes / count, tokens / count,
      painting.seconds, 100.0 * host / std::max(host + library, 1e-9),
      count > 1 ? fmt::format(", {} pictures", count) : "");
}

std::string acceptance_by_slot(const Painting& painting) {
  std::vector<std::int64_t> judged;
  std::vector<std::int64_t> accepted;
  const auto add = [](const std::vector<std::int64_t>& from, std::vector<std::int64_t>& to) {
    to.resize(std::max(to.size(), from.size()), 0);
    for (std::size_t i = 0; i < from.size(); ++i) to[i] += from[i];
  };
  for (const GenerationResult& result : painting.results) {
    add(result.statistics.judged_by_slot, judged);
    add(result.statistics.accepted_by_slot, accepted);
  }
  accepted.resize(judged.size(), 0);
  std::string text = "  accepted by slot";
  for (std::size_t i = 0; i < std::min<std::size_t>(judged.size(), 12); ++i) {
    text += fmt::format(" {:.0f}%", 100.0 * static_cast<double>(accepted[i]) /
                                        static_cast<double>(std::max<std::int64_t>(judged[i], 1)));
  }
  return judged.empty() ? std::string{} : text + "\n";
}

}  // namespace sjd::paint
