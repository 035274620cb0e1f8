// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "sjd/hosts/llama.hpp"
#include "support/catch.hpp"
#include "support/naive_llama.hpp"
#include "support/random_checkpoint.hpp"

namespace {

using sjd::Error;
using sjd::ErrorCode;
using sjd::ForwardPass;
using sjd::InputRow;
using sjd::KeepLength;
using sjd::MatrixView;
using sjd::hosts::InstructionSet;
using sjd::hosts::LlamaConfig;
using sjd::hosts::LlamaHost;
using sjd::hosts::LlamaOptions;
using sjd::hosts::Storage;

/// Logits that own their memory.
struct Logits {
  std::int64_t columns;
  std::vector<float> values;  // [rows, columns]

  Logits(std::int64_t rows, std::int64_t vocab)
      : columns{vocab}, values(static_cast<std::size_t>(rows * vocab)) {}
  [[nodiscard]] MatrixView<float> view() {
    return {values.data(), static_cast<std::int64_t>(values.size()) / columns, columns};
  }
  [[nodiscard]] std::vector<float> row(std::int64_t index) const {
    const auto begin = values.begin() + index * columns;
    return {begin, begin + columns};
  }
};

/// A picture to be fed: prompt, tokens and, at every third position from `noisy_from` on, a noisy vector instead.
struct Script {
  LlamaHost::Prompt prompt;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> levels;  // [tokens]
  std::vector<float> embeddings;     // [tokens, hidden]

  Script(const LlamaConfig& config, std::uint32_t seed, bool noisy) {
    std::mt19937 engine{seed};
    const auto below = [&](std::int64_t limit) {
      return static_cast<std::int32_t>(engine() % static_cast<std::uint32_t>(limit));
    };
    for (std::int64_t i = 0; i < 1 + below(config.max_prompt_tokens); ++i) {
      prompt.push_back(2 + below(config.text_vocab_size - 2));
    }
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i + 1 < config.image_tokens(); ++i) {
      tokens.push_back(below(config.image_vocab_size));
      levels.push_back(noisy && i % 3 == 2 ? 1 + below(config.noise.grid + 1) : 0);
      for (std::int64_t j = 0; j < config.hidden_size; ++j) embeddings.push_back(normal(engine));
    }
  }

  [[nodiscard]] InputRow row(std::int32_t sequence, std::int32_t branch, std::int64_t i) const {
    const auto at = static_cast<std::size_t>(i);
    return {sequence, branch, i, levels[at] == 0 ? tokens[at] : 0, levels[at],
            levels[at] == 0 ? -1 : i};
  }
  [[nodiscard]] MatrixView<const float> vectors(const LlamaConfig& config) const {
    return {embeddings.data(), static_cast<std::int64_t>(tokens.size()), config.hidden_size};
  }
};

/// Logits of the prefill and of every row of both branches, fed one row at a time.
struct OneByOne {
  std::vector<std::vector<float>> branch[2];  // [1 + rows][vocab]

  OneByOne(LlamaHost& host, const Script& script, std::int64_t rows) {
    Logits first{2, host.vocab_size()};
    host.prefill(0, script.prompt, first.view());
    for (std::int32_t b = 0; b < 2; ++b) {
      branch[b].push_back(first.row(b));
      for (std::int64_t i = 0; i < rows; ++i) {
        Logits out{1, host.vocab_size()};
        const KeepLength keep{0, b, i};
        const InputRow row = script.row(0, b, i);
        host.forward({{&keep, 1}, {&row, 1}, script.vectors(host.config()), out.view()});
        branch[b].push_back(out.row(0));
      }
    }
  }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Directory {
  sjd::test::TemporaryDirectory directory;
  LlamaConfig config;

  explicit Directory(const LlamaConfig& shape) : config{shape} {
    sjd::test::write_random_model(directory.path(), shape, 5);
  }
  [[nodiscard]] LlamaHost load(LlamaOptions options = {},
                               const char* file = "sjd2.safetensors") const {
    return LlamaHost::load(directory.path(), file, options);
  }
};

/// Largest error relative to the spread of the logits.
double relative_error(const std::vector<float>& logits, const std::vector<double>& truth) {
  double error = 0.0;
  double squares = 0.0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    error = std::max(error, std::abs(static_cast<double>(logits[i]) - truth[i]));
    squares += truth[i] * truth[i];
  }
  return error / std::sqrt(squares / static_cast<double>(truth.size()));
}

std::vector<sjd::test::NaiveInput> naive_inputs(const LlamaConfig& config, const Script& script,
                                                bool conditional, std::int64_t rows) {
  std::vector<sjd::test::NaiveInput> inputs;
  if (conditional) {
    for (const std::int32_t id : script.prompt) inputs.push_back({.word = id});
  }
  inputs.push_back({.word = 1, .image_index = 0});
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const auto begin = script.embeddings.begin() + i * config.hidden_size;
    inputs.push_back({.image_index = i + 1,
                      .token = script.tokens[at],
                      .level = script.levels[at],
                      .fed = {begin, begin + config.hidden_size}});
  }
  return inputs;
}

void compare_with_naive(const LlamaConfig& config, std::int64_t rows) {
  const Directory files{config};
  LlamaHost host = files.load();
  const Script script{config, 3, true};
  const OneByOne engine{host, script, rows};
  const sjd::test::NaiveLlama naive{config, sjd::test::random_model(config, true, 5)};
  for (int branch = 0; branch < 2; ++branch) {
    const auto truth = naive.logits(naive_inputs(config, script, branch == 0, rows));
    const std::size_t prompt = branch == 0 ? script.prompt.size() : 0;
    double worst = 0.0;
    for (std::size_t i = 0; i < engine.branch[branch].size(); ++i) {
      worst = std::max(worst, relative_error(engine.branch[branch][i], truth[prompt + i]));
    }
    CHECK(worst < 1e-4);
  }
}

/// Feeds `rows` rows of several pictures in windows of `window` rows and compares every logit with one row at a time.
void check_windows(LlamaHost& host, const std::vector<Script>& scripts,
                   const std::vector<OneByOne>& expected, std::int64_t window, std::int64_t rows) {
  const auto sequences = static_cast<std::int32_t>(scripts.size());
  for (std::int32_t s = 0; s < sequences; ++s) {
    const auto at = static_cast<std::size_t>(s);
    Logits first{2, host.vocab_size()};
    host.prefill(s, scripts[at].prompt, first.view());
    REQUIRE(same_bits(first.row(0), expected[at].branch[0][0]));
    REQUIRE(same_bits(first.row(1), expected[at].branch[1][0]));
  }
  std::vector<float> embeddings;
  for (const Script& script : scripts) {
    embeddings.insert(embeddings.end(), script.embeddings.begin(), script.embeddings.end());
  }
  const auto per_script = static_cast<std::int64_t>(scripts[0].tokens.size());
  // Half of every window is fed again by the next one, so that truncation is covered too.
  for (std::int64_t start = 0; start < rows; start += (window + 1) / 2) {
    std::vector<KeepLength> keep;
    std::vector<InputRow> pass;
    for (std::int32_t s = 0; s < sequences; ++s) {
      for (std::int32_t b = 0; b < 2; ++b) {
        keep.push_back({s, b, start});
        for (std::int64_t i = start; i < std::min(start + window, rows); ++i) {
          pass.push_back(scripts[static_cast<std::size_t>(s)].row(s, b, i));
          if (pass.back().level > 0) pass.back().embedding += s * per_script;
        }
      }
    }
    Logits out{static_cast<std::int64_t>(pass.size()), host.vocab_size()};
    host.forward({keep, pass,
                  {embeddings.data(), per_script * sequences, host.config().hidden_size},
                  out.view()});
    for (std::size_t i = 0; i < pass.size(); ++i) {
      const auto& law = expected[static_cast<std::size_t>(pass[i].sequence)].branch[pass[i].branch];
      REQUIRE(same_bits(out.row(static_cast<std::int64_t>(i)),
                        law[static_cast<std::size_t>(pass[i].position) + 1]));
    }
  }
}

void check_row_invariance(const Directory& files, const std::vector<std::int64_t>& windows,
                          const std::vector<std::int64_t>& batches, std::int64_t rows) {
  std::vector<Script> scripts;
  std::vector<OneByOne> expected;
  LlamaHost single = files.load();
  for (std::uint32_t s = 0; s < 8; ++s) {
    scripts.emplace_back(files.config, 100 + s, true);
    expected.emplace_back(single, scripts.back(), rows);
  }
  for (const int threads : {1, 2}) {
    for (const std::int64_t batch : batches) {
      LlamaHost host = files.load({.max_sequences = batch, .threads = threads});
      const std::vector<Script> some(scripts.begin(), scripts.begin() + batch);
      for (const std::int64_t window : windows) {
        CAPTURE(threads, batch, window);
        check_windows(host, some, expected, window, rows);
      }
    }
  }
}

template <class Call>
void check_refused(ErrorCode code, std::int64_t sequence, std::int64_t position, Call&& call) {
  try {
    call();
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    INFO(error.what());
    CHECK(error.code() == code);
    CHECK(error.sequence() == sequence);
    CHECK(error.position() == position);
  }
}

}  // namespace

TEST_CASE("LlamaHost computes the model of docs/checkpoint.md", "[llama]") {
  SECTION("tiny, qk_norm") { compare_with_naive(sjd::test::tiny_shape(), 40); }
  SECTION("tiny, no qk_norm") {
    LlamaConfig config = sjd::test::tiny_shape();
    config.qk_norm = false;
    compare_with_naive(config, 12);
  }
  SECTION("shipped shape") { compare_with_naive(sjd::test::full_shape(), 20); }
}

TEST_CASE("a row depends on its own prefix only, bit for bit", "[llama]") {
  SECTION("tiny") {
    check_row_invariance(Directory{sjd::test::tiny_shape()}, {1, 2, 3, 7, 16, 33, 64}, {1, 3, 8},
                         89);
  }
  SECTION("shipped shape") {
    check_row_invariance(Directory{sjd::test::full_shape()}, {3, 64}, {1, 3}, 70);
  }
}

TEST_CASE("instruction sets and storage change no bit", "[llama]") {
  const Directory files{sjd::test::full_shape()};
  const Script script{files.config, 8, true};
  LlamaHost best = files.load();
  const OneByOne expected{best, script, 6};
  for (const auto set : {InstructionSet::scalar, InstructionSet::avx2, InstructionSet::avx512}) {
    if (!sjd::hosts::supported(set)) continue;
    for (const auto storage : {Storage::bf16, Storage::fp32}) {
      CAPTURE(static_cast<int>(set), static_cast<int>(storage));
      LlamaHost host = files.load({.storage = storage, .instruction_set = set});
      check_windows(host, {script}, {expected}, 6, 6);
    }
  }
}

TEST_CASE("a base model decodes tokens only", "[llama]") {
  const Directory files{sjd::test::tiny_shape()};
  LlamaHost base = files.load({}, "base.safetensors");
  LlamaHost noisy = files.load();
  CHECK_FALSE(base.accepts_noise());
  CHECK_THROWS_AS(base.noise_contract(), Error);
  const sjd::NoiseContract contract = noisy.noise_contract();
  CHECK(contract.grid == 4);
  CHECK(contract.posterior_mean);
  CHECK(contract.mean.size() == 64);
  CHECK(contract.log_prior.size() == 96);
  CHECK(noisy.embedding_table().rows == 96);
  const Script script{files.config, 4, false};
  CHECK(same_bits(OneByOne{base, script, 3}.branch[0][3], OneByOne{noisy, script, 3}.branch[0][3]));
}

TEST_CASE("a pass that breaks the contract changes nothing", "[llama]") {
  const Directory files{sjd::test::tiny_shape()};
  LlamaHost host = files.load({.max_sequences = 2});
  const Script script{files.config, 6, true};
  const OneByOne expected{host, script, 12};
  Logits out{16, host.vocab_size()};
  const auto pass = [&](std::vector<KeepLength> keep, std::vector<InputRow> rows) {
    host.forward({keep, rows, script.vectors(files.config), out.view()});
  };
  const auto refused = [&](std::int64_t sequence, std::int64_t position,
                           const std::vector<KeepLength>& keep, const std::vector<InputRow>& rows) {
    check_refused(ErrorCode::contract, sequence, position, [&] { pass(keep, rows); });
  };
  const auto with = [&](std::int64_t position, auto change) {
    InputRow row = script.row(0, 0, position);
    change(row);
    return row;
  };
  refused(0, 13, {{0, 0, 13}}, {});                         // more than is there
  refused(0, -1, {{0, 0, -1}}, {});
  refused(2, 0, {{2, 0, 0}}, {});
  refused(0, 0, {{0, 2, 0}}, {});
  refused(1, 0, {{1, 0, 0}}, {});                           // not prefilled
  refused(0, 5, {{0, 0, 6}, {0, 0, 5}}, {});                // twice
  refused(0, 7, {{0, 0, 6}}, {script.row(0, 0, 7)});        // a hole
  refused(0, 6, {{0, 0, 6}}, {script.row(0, 0, 6), script.row(0, 0, 6)});
  refused(0, 6, {{0, 0, 6}}, {script.row(0, 1, 6)});        // no keep_length
  refused(0, 6, {{0, 0, 6}, {0, 1, 6}}, {script.row(0, 1, 6), script.row(0, 0, 6)});
  refused(0, 6, {{0, 0, 6}}, {with(6, [](InputRow& row) { row.token = 96; })});
  refused(0, 6, {{0, 0, 6}}, {with(6, [](InputRow& row) { row.token = -1; })});
  refused(0, 8, {{0, 0, 8}}, {with(8, [](InputRow& row) { row.level = 6; })});
  refused(0, 8, {{0, 0, 8}}, {with(8, [](InputRow& row) { row.level = -1; })});
  refused(0, 8, {{0, 0, 8}}, {with(8, [](InputRow& row) { row.embedding = 1000; })});
  std::vector<InputRow> many;
  for (std::int64_t i = 0; i < 17; ++i) many.push_back(script.row(0, 0, i));
  refused(-1, -1, {{0, 0, 0}}, many);                       // logits too small
  pass({{0, 0, 11}, {0, 1, 12}}, {script.row(0, 0, 11)});   // both branches are as before
  CHECK(same_bits(out.row(0), expected.branch[0][12]));
}

TEST_CASE("the picture ends one row before its last token", "[llama]") {
  const Directory files{sjd::test::tiny_shape()};
  LlamaHost host = files.load();
  const Script script{files.config, 6, false};
  const OneByOne all{host, script, 89};
  Logits out{1, host.vocab_size()};
  const KeepLength keep{0, 0, 89};
  const InputRow row{0, 0, 89, 0, 0, -1};
  check_refused(ErrorCode::contract, 0, 89,
                [&] { host.forward({{&keep, 1}, {&row, 1}, {}, out.view()}); });
}

TEST_CASE("prefill refuses prompts that the model cannot read", "[llama]") {
  const Directory files{sjd::test::tiny_shape()};
  LlamaHost host = files.load();
  Logits out{3, host.vocab_size()};
  MatrixView<float> two{out.values.data(), 2, host.vocab_size()};
  using Prompt = LlamaHost::Prompt;
  const auto refused = [&](ErrorCode code, std::int32_t sequence, const Prompt& prompt,
                           MatrixView<float> view) {
    check_refused(code, sequence, -1, [&] { host.prefill(sequence, prompt, view); });
  };
  refused(ErrorCode::invalid_argument, 0, {9}, two);
  refused(ErrorCode::invalid_argument, 0, {-1}, two);
  refused(ErrorCode::invalid_argument, 0, {3, 1}, two);
  refused(ErrorCode::invalid_argument, 0, {2, 3, 4, 5, 6, 7}, two);
  refused(ErrorCode::contract, 1, {2}, two);
  refused(ErrorCode::contract, 0, {2}, out.view());
  refused(ErrorCode::contract, 0, {2}, {});
  host.prefill(0, {}, two);
  CHECK(same_bits(out.row(0), out.row(1)));
  MatrixView<float> one{out.values.data(), 1, host.vocab_size()};
  host.prefill(0, {2}, one);
  const KeepLength keep{0, 1, 0};
  check_refused(ErrorCode::contract, 0, 0,
                [&] { host.forward({{&keep, 1}, {}, {}, out.view()}); });
}

TEST_CASE("time of a pass in the middle of a picture", "[.][timing]") {
  const Directory files{sjd::test::full_shape()};
  const Script script{files.config, 1, false};
  for (const auto storage : {Storage::bf16, Storage::fp32}) {
    for (const int threads : {1, 2}) {
      LlamaHost host = files.load({.threads = threads, .storage = storage});
      const OneByOne warm{host, script, 128};
      for (const std::int64_t count : {1, 2, 4, 8, 16, 32, 64, 128}) {
        const std::int32_t branches = count == 1 ? 1 : 2;
        std::vector<KeepLength> keep;
        std::vector<InputRow> rows;
        for (std::int32_t b = 0; b < branches; ++b) {
          keep.push_back({0, b, 128});
          for (std::int64_t i = 0; i < count / branches; ++i) {
            rows.push_back(script.row(0, b, 128 + i));
          }
        }
        Logits out{count, host.vocab_size()};
        std::vector<double> seconds;
        for (int repeat = 0; repeat < 101; ++repeat) {
          const auto start = std::chrono::steady_clock::now();
          host.forward({keep, rows, {}, out.view()});
          seconds.push_back(
              std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
          for (KeepLength& length : keep) length.length = 128;
        }
        std::sort(seconds.begin(), seconds.end());
        std::printf("%s, %d threads, %3d rows: %.3f ms\n",
                    storage == Storage::bf16 ? "bf16" : "fp32", threads, static_cast<int>(count),
                    1e3 * seconds[50]);
      }
    }
  }
}
