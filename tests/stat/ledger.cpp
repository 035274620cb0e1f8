// SPDX-License-Identifier: Apache-2.0
// Draws on where the ledger stands: more pictures of every registered lossless statistic, added to
// the counts of the same core. What was counted for other headers stays in the file and is not
// counted here.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "core_hash.hpp"
#include "sjd/core/stopwatch.hpp"
#include "stat/statistic.hpp"

namespace {

using namespace sjd::test;
using nlohmann::json;

constexpr std::int64_t chunk_tokens = 500'000;

struct Options {
  std::string plan;
  std::string ledger;
  std::string core;
  std::int64_t tokens = 0;
};

Options read_options(int argc, char** argv) {
  if (argc != 5) throw std::invalid_argument{"usage: stat_ledger PLAN LEDGER CORE_HASH TOKENS"};
  Options options{argv[1], argv[2], argv[3], 0};
  std::size_t read = 0;
  const std::string tokens = argv[4];
  options.tokens = std::stoll(tokens, &read);
  if (read != tokens.size() || options.tokens < 0) {
    throw std::invalid_argument{"stat_ledger: TOKENS must be a number >= 0"};
  }
  return options;
}

/// The ledger on disk; a missing file is an empty one.
class Ledger {
 public:
  explicit Ledger(std::string file) : file_{std::move(file)}, whole_({{"entries", json::array()}}) {
    if (!std::filesystem::exists(file_)) return;
    std::ifstream stream{file_};
    whole_ = json::parse(stream);
  }

  /// The entry of one statistic for one core, made if there is none.
  json& entry(const std::string& core, const Statistic& statistic, std::size_t cells) {
    for (json& entry : whole_.at("entries")) {
      if (entry.at("core") != core || entry.at("statistic") != statistic.text()) continue;
      if (entry.at("counts").size() != cells) throw std::runtime_error{file_ + ": wrong counts"};
      return entry;
    }
    whole_.at("entries").push_back({{"core", core},
                                    {"statistic", statistic.text()},
                                    {"pictures", 0},
                                    {"tokens", 0},
                                    {"log_e", 0.0},
                                    {"counts", std::vector<std::int64_t>(cells, 0)}});
    return whole_.at("entries").back();
  }

  /// Replaces the file in one move, so that it is whole whenever the program is stopped.
  void save() const {
    const std::string part = file_ + ".part";
    {
      std::ofstream stream{part};
      stream << "{\n  \"entries\": [";
      bool first = true;
      for (const json& entry : whole_.at("entries")) {
        stream << (first ? "\n    " : ",\n    ") << entry.dump();
        first = false;
      }
      stream << "\n  ]\n}\n";
      stream.close();
      if (!stream) throw std::runtime_error{part + ": could not be written"};
    }
    std::filesystem::rename(part, file_);
  }

 private:
  std::string file_;
  json whole_;
};

/// Adds pictures to one entry; returns log E.
double draw_into(json& entry, const Statistic& statistic, std::int64_t pictures) {
  EProcess process = start_process(statistic);
  for (std::size_t cell = 0; cell < process.counts().size(); ++cell) {
    process.add(cell, entry.at("counts").at(cell).get<std::int64_t>());
  }
  const auto before = entry.at("pictures").get<std::int64_t>();
  draw_pictures(statistic, true, static_cast<std::uint64_t>(before), pictures, process,
                [](std::int64_t) { return true; });
  const double log_e = process.log_e();
  entry["pictures"] = before + pictures;
  entry["tokens"] = (before + pictures) * statistic.instance.length;
  // JSON has no infinity; 1e300 is as decisive.
  entry["log_e"] = std::min(log_e, 1e300);
  entry["counts"] = process.counts();
  return log_e;
}

void say_progress(double share, double tokens, double seconds) {
  std::fprintf(stderr, "\r%5.1f %%  %.3g tokens, %.3g a second, %.0f s left   ", 100.0 * share,
               tokens, tokens / seconds, share > 0.0 ? seconds * (1.0 - share) / share : 0.0);
}

/// Draws about `options.tokens` tokens, the same number for every statistic; saves after each
/// chunk.
void draw_all(const Options& options, const StatisticPlan& plan, Ledger& ledger) {
  const sjd::Stopwatch watch;
  const auto statistics = static_cast<std::int64_t>(plan.lossless.size());
  const std::int64_t share = (options.tokens + statistics - 1) / statistics;
  double drawn = 0.0;
  for (std::int64_t done = 0; done < share; done += chunk_tokens) {
    const std::int64_t tokens = std::min(chunk_tokens, share - done);
    for (const Statistic& statistic : plan.lossless) {
      const std::int64_t length = statistic.instance.length;
      const std::int64_t pictures = (done + tokens) / length - done / length;
      json& entry = ledger.entry(options.core, statistic, start_process(statistic).counts().size());
      draw_into(entry, statistic, pictures);
      ledger.save();
      drawn += static_cast<double>(pictures * length);
      say_progress(std::min(1.0, drawn / static_cast<double>(share * statistics)), drawn,
                   watch.seconds());
    }
  }
  std::fprintf(stderr, "\n");
}

/// Prints what the ledger says of this core; true if no statistic fails.
bool report(const Options& options, const StatisticPlan& plan, Ledger& ledger) {
  std::int64_t pictures = 0;
  std::int64_t tokens = 0;
  double worst = -INFINITY;
  for (const Statistic& statistic : plan.lossless) {
    const json& entry =
        ledger.entry(options.core, statistic, start_process(statistic).counts().size());
    const double log_e = entry.at("log_e").get<double>();
    print_layer("L3", "ledger: " + statistic.text(),
                std::to_string(entry.at("pictures").get<std::int64_t>()) + " pictures, " +
                    std::to_string(entry.at("tokens").get<std::int64_t>()) + " tokens",
                "log E " + number_text(log_e, 4));
    pictures += entry.at("pictures").get<std::int64_t>();
    tokens += entry.at("tokens").get<std::int64_t>();
    worst = std::max(worst, log_e);
  }
  print_layer("L3", "ledger of core " + options.core,
              std::to_string(pictures) + " pictures, " + std::to_string(tokens) + " tokens",
              "log E " + number_text(worst, 4));
  return worst < EProcess::decisive;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = read_options(argc, argv);
    if (options.core != core_hash) {
      std::fprintf(stderr, "stat_ledger: built from other headers; build stat_ledger again\n");
      return 69;
    }
    const StatisticPlan plan = read_plan(options.plan);
    Ledger ledger{options.ledger};
    draw_all(options, plan, ledger);
    const bool good = report(options, plan, ledger);
    if (!good) std::fprintf(stderr, "stat_ledger: a lossless composition fails its law\n");
    return good ? 0 : 1;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 64;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stat_ledger: %s\n", error.what());
    return 65;
  }
}
