// SPDX-License-Identifier: Apache-2.0
#include "corrector.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <future>
#include <numbers>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "corrector_fit.hpp"
#include "corrector_settings.hpp"
#include "corrector_trace.hpp"
#include "sjd/core/stopwatch.hpp"

namespace sjd::train {
namespace {

namespace fs = std::filesystem;

/// Training rows that are kept, the newest ones: about 3 kB each.
constexpr std::int64_t most_rows = 3'200'000;

/// What a run has gathered and learned so far.
class Session {
 public:
  explicit Session(CorrectorSettings settings)
      : settings_{std::move(settings)},
        config_{hosts::read_llama_config(settings_.model / "config.json")},
        prompts_{read_prompts(settings_.model, "train")},
        fit_{shape(), settings_.regularization, settings_.batch},
        random_{settings_.seed} {
    clear(train_);
    clear(held_out_);
  }

  void run();

 private:
  [[nodiscard]] CorrectorShape shape() const {
    return {config_.hidden_size, config_.image_vocab_size, settings_.width, 32,
            head_neighbours(settings_.neighbours, config_)};
  }
  void clear(CorrectorTraces& traces) const {
    traces = {};
    traces.hidden_dim = config_.hidden_size;
    traces.vocab = config_.image_vocab_size;
    traces.neighbours = head_neighbours(settings_.neighbours, config_);
  }

  /// Traces of one worker, made with the head that is on disk, if there is one.
  struct Harvest {
    CorrectorTraces train;
    CorrectorTraces held_out;
    std::vector<TraceYield> yields;
    std::uint64_t pictures = 0;
  };
  [[nodiscard]] Harvest harvest(std::int64_t round, std::int64_t worker, double seconds,
                                bool with_head) const;
  void take(Harvest&& harvest);
  void gather_round(std::int64_t round, double seconds, std::int64_t workers);
  void fit_round(std::int64_t round, double seconds);
  void begin_fit();
  void keep_traces() const;
  void find_traces();
  void print_score(const char* when);
  void print_second_candidate();
  void save(std::int64_t round);
  [[nodiscard]] double seconds_left() const { return settings_.seconds - watch_.seconds(); }

  CorrectorSettings settings_;
  hosts::LlamaConfig config_;
  std::vector<hosts::LlamaHost::Prompt> prompts_;
  CorrectorFit fit_;
  std::mt19937_64 random_;
  CorrectorTraces train_;
  CorrectorTraces held_out_;
  std::int64_t latest_ = 0;  // first training row of the latest round
  bool has_head_ = false;
  std::uint64_t pictures_ = 0;
  std::int64_t steps_ = 0;
  std::ostringstream log_;
  Stopwatch watch_;
};

Session::Harvest Session::harvest(std::int64_t round, std::int64_t worker, double seconds,
                                  bool with_head) const {
  Harvest found;
  clear(found.train);
  clear(found.held_out);
  found.train.reserve(
      most_rows);  // addresses only; a vector that grows would need half as much again
  hosts::LlamaHost host = hosts::LlamaHost::load(
      settings_.model, settings_.weights,
      {.corrector = with_head ? settings_.output.filename().string() : std::string{}});
  const TraceOptions options{.seed = settings_.seed,
                             .first_picture = static_cast<std::uint64_t>(round * 64 + worker)
                                              << 20U,
                             .seconds = seconds,
                             .most_rows = most_rows,
                             .invented = settings_.invented,
                             .window = settings_.window,
                             .depth = with_head ? TraceModel::farthest : 0};
  found.pictures =
      collect_traces(host, prompts_, options, found.train, found.held_out, found.yields);
  return found;
}

void Session::take(Harvest&& harvest) {
  harvest.train.drop_oldest(std::max<std::int64_t>(harvest.train.rows() - most_rows, 0));
  const std::int64_t excess = train_.rows() + harvest.train.rows() - most_rows;
  if (excess > 0) {
    const std::int64_t dropped = std::min(excess, train_.rows());
    train_.drop_oldest(dropped);
    latest_ = std::max<std::int64_t>(latest_ - dropped, 0);
  }
  if (train_.rows() == 0) {
    train_ = std::move(harvest.train);  // a copy would need the memory of both
  } else {
    train_.append(harvest.train);
  }
  held_out_.append(harvest.held_out);
  pictures_ += harvest.pictures;
  std::sort(harvest.yields.begin(), harvest.yields.end(),
            [](const TraceYield& a, const TraceYield& b) { return a.name < b.name; });
  for (const TraceYield& y : harvest.yields) {
    std::printf("  %-18s %6.2f tokens per forward (%lld passes)\n", y.name.c_str(),
                static_cast<double>(y.tokens) / static_cast<double>(y.passes),
                static_cast<long long>(y.passes));
  }
  std::fflush(stdout);
}

void Session::gather_round(std::int64_t round, double seconds, std::int64_t workers) {
  latest_ = train_.rows();
  std::vector<std::future<Harvest>> parts;
  for (std::int64_t worker = 0; worker < workers; ++worker) {
    parts.push_back(std::async(std::launch::async, [this, round, worker, seconds] {
      return harvest(round, worker, seconds, has_head_);
    }));
  }
  for (auto& part : parts) take(part.get());
  std::printf("round %lld: %lld training rows, %lld held out, %llu pictures so far\n",
              static_cast<long long>(round), static_cast<long long>(train_.rows()),
              static_cast<long long>(held_out_.rows()), static_cast<unsigned long long>(pictures_));
  std::fflush(stdout);
}

void Session::begin_fit() {
  {
    const hosts::LlamaHost host = hosts::LlamaHost::load(settings_.model, settings_.weights);
    fit_.use_embeddings(host.embedding_table());
  }
  if (settings_.init == "none") {
    fit_.initialize(settings_.seed, train_);
  } else {
    fit_.load(load_safetensors(settings_.init));
  }
}

void Session::keep_traces() const {
  if (settings_.traces == "none") return;
  std::ofstream file{settings_.traces, std::ios::binary};
  train_.save(file);
  held_out_.save(file);
  if (!file) throw std::runtime_error(settings_.traces.string() + ": cannot be written");
}

void Session::find_traces() {
  std::ifstream file{settings_.traces, std::ios::binary};
  if (!file) return;
  train_.load(file);
  held_out_.load(file);
}

void Session::print_score(const char* when) {
  const CorrectorScore score = fit_.score(held_out_, 20'000);
  const auto below = static_cast<std::size_t>(config_.image_columns);
  char line[256];
  std::snprintf(line, sizeof line,
                "  held-out variation %s (without head): all %.3f (%.3f), slot 0 %.3f (%.3f), "
                "slot 1 %.3f (%.3f), slot %zu %.3f (%.3f), slot %zu %.3f (%.3f)\n",
                when, score.with[0], score.without[0], score.with[1], score.without[1],
                score.with[2], score.without[2], below - 2, score.with[below - 1],
                score.without[below - 1], below - 1, score.with[below], score.without[below]);
  std::fputs(line, stdout);
  std::fflush(stdout);
  log_ << line;
}

void Session::print_second_candidate() {
  for (const std::int64_t distance : {1, 2}) {
    const SecondCandidate found = fit_.second_candidate(held_out_, distance, 2'000);
    std::printf(
        "  slot %lld: draft accepted %.3f, of the others a second candidate %.3f (%lld rows)\n",
        static_cast<long long>(distance - 1), found.first, found.second,
        static_cast<long long>(found.rows));
  }
  std::fflush(stdout);
}

void Session::fit_round(std::int64_t round, double seconds) {
  const Stopwatch watch;
  const bool last = round == settings_.rounds;
  const float highest = settings_.rate * std::pow(0.75F, static_cast<float>(round - 1));
  const float lowest = last ? settings_.final_rate : 2.0F * settings_.final_rate;
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(settings_.batch));
  std::uniform_int_distribution<std::int64_t> any{0, train_.rows() - 1};
  std::uniform_int_distribution<std::int64_t> fresh{std::min(latest_, train_.rows() - 1),
                                                    train_.rows() - 1};
  double variation = 0.0;
  double reported = 0.0;
  std::int64_t count = 0;
  const std::int64_t begin = steps_;
  for (double now = 0.0; settings_.steps > 0 ? steps_ - begin < settings_.steps : now < seconds;
       now = watch.seconds()) {
    const double done_steps = static_cast<double>(steps_ - begin) /
                              static_cast<double>(std::max<std::int64_t>(settings_.steps, 1));
    const auto done = static_cast<float>(settings_.steps > 0 ? done_steps : now / seconds);
    const float warm = std::min(1.0F, static_cast<float>(steps_ + 1) / 100.0F);
    const float rate = warm * (lowest + 0.5F * (highest - lowest) *
                                            (1.0F + std::cos(std::numbers::pi_v<float> * done)));
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      chosen[i] = i % 2 == 0 ? fresh(random_) : any(random_);
    }
    variation += fit_.step(train_, chosen, rate);
    ++steps_;
    ++count;
    if (now - reported < 20.0) continue;
    std::printf(
        "  round %lld/%lld step %lld  variation %.4f  rate %.1e  %.0f steps/s  %.0f s left\n",
        static_cast<long long>(round), static_cast<long long>(settings_.rounds),
        static_cast<long long>(steps_), variation / static_cast<double>(count),
        static_cast<double>(rate), static_cast<double>(count) / (now - reported), seconds_left());
    std::fflush(stdout);
    variation = 0.0;
    count = 0;
    reported = now;
  }
}

void Session::save(std::int64_t round) {
  save_safetensors(settings_.output, fit_.tensors());
  has_head_ = true;
  std::ofstream notes{settings_.output.string() + ".provenance.md"};
  notes << "## " << settings_.output.filename().string() << "\n\n"
        << "Corrector head of `" << settings_.weights << "`, trained by `train corrector` for "
        << round << " rounds of traces and fitting: " << pictures_ << " training pictures, "
        << train_.rows() << " rows, " << steps_ << " steps of batch " << settings_.batch
        << ", width " << settings_.width << ", seed " << settings_.seed << ", "
        << std::lround(watch_.seconds()) << " s on " << settings_.workers << " worker(s)"
        << (settings_.init == "none" ? std::string{}
                                     : ", started from the head of an earlier checkpoint")
        << ".\n\n```\n"
        << log_.str() << "```\n";
}

void Session::run() {
  // Two workers or more: the others gather the next round while one fits. One: in turns.
  const bool overlapped = settings_.workers > 1;
  find_traces();
  if (settings_.loop != "none") {
    // A head for an earlier checkpoint is a better start of the loop than none.
    if (settings_.loop != settings_.output) {
      fs::copy_file(settings_.loop, settings_.output, fs::copy_options::overwrite_existing);
    }
    has_head_ = true;
  }
  for (std::int64_t round = 1; round <= settings_.rounds; ++round) {
    const double share = seconds_left() / static_cast<double>(settings_.rounds - round + 1);
    double fit_seconds = share;
    if (round == 1 || !overlapped) {
      if (settings_.trace_share > 0.0) {
        gather_round(round, settings_.trace_share * share, settings_.workers);
        keep_traces();
      }
      fit_seconds *= 1.0 - settings_.trace_share;
    }
    if (round == 1) begin_fit();
    std::vector<std::future<Harvest>> parts;
    for (std::int64_t w = 1; overlapped && round < settings_.rounds && w < settings_.workers; ++w) {
      parts.push_back(std::async(std::launch::async, [this, round, w, fit_seconds] {
        return harvest(round + 1, w, fit_seconds, has_head_);
      }));
    }
    print_score("before");
    fit_round(round, fit_seconds);
    print_score("after ");
    if (!parts.empty()) latest_ = train_.rows();
    for (auto& part : parts) take(part.get());
    latest_ = std::min(latest_, train_.rows() - 1);
    save(round);
  }
  print_second_candidate();
}

}  // namespace

int run_corrector(std::span<char* const> args) {
  at::set_num_threads(1);
  flush_denormals();
  Session session{read_corrector_settings(args)};
  session.run();
  return 0;
}

}  // namespace sjd::train
