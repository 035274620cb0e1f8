// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "sjd/hosts/llama.hpp"
#include "support/catch.hpp"
#include "support/llama_script.hpp"
#include "support/naive_llama.hpp"

namespace {

using sjd::InputRow;
using sjd::KeepLength;
using sjd::hosts::InstructionSet;
using sjd::hosts::LlamaConfig;
using sjd::hosts::LlamaHost;
using sjd::hosts::Storage;
using sjd::test::LlamaDirectory;
using sjd::test::Logits;
using sjd::test::OneByOne;
using sjd::test::same_bits;
using sjd::test::Script;

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

/// What relative_error may reach. fp32: rounding alone. bf16: the activations in front of every
/// layer are off by up to 2^-9, at random; 0.043 was seen.
constexpr double tolerance(Storage storage) {
  return storage == Storage::fp32 ? 1e-4 : 1e-1;
}

void compare_with_naive(const LlamaConfig& config, Storage storage, std::int64_t rows) {
  const LlamaDirectory files{config};
  LlamaHost host = files.load({.storage = storage});
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
    CAPTURE(static_cast<int>(storage));
    CHECK(worst < tolerance(storage));
  }
}

/// Feeds `rows` rows of several pictures in windows of `window` rows and compares every logit with
/// one row at a time.
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
    host.forward({keep,
                  pass,
                  {embeddings.data(), per_script * sequences, host.config().hidden_size},
                  out.view()});
    for (std::size_t i = 0; i < pass.size(); ++i) {
      const auto& law = expected[static_cast<std::size_t>(pass[i].sequence)].branch[pass[i].branch];
      REQUIRE(same_bits(out.row(static_cast<std::int64_t>(i)),
                        law[static_cast<std::size_t>(pass[i].position) + 1]));
    }
  }
}

void check_row_invariance(const LlamaDirectory& files, const std::vector<std::int64_t>& windows,
                          const std::vector<std::int64_t>& batches, std::int64_t rows) {
  std::vector<Script> scripts;
  std::vector<OneByOne> expected;
  LlamaHost single = files.load();
  for (std::uint32_t s = 0; s < 8; ++s) {
    scripts.emplace_back(files.config, 100 + s, true);
    expected.emplace_back(single, scripts.back(), rows);
  }
  for (const int threads : {1, 2, 3}) {  // three cut a window of one branch into parts
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

}  // namespace

TEST_CASE("LlamaHost computes the model of docs/checkpoint.md", "[llama]") {
  for (const auto storage : {Storage::bf16, Storage::fp32}) {
    compare_with_naive(sjd::test::tiny_shape(), storage, 40);
    LlamaConfig plain = sjd::test::tiny_shape();
    plain.qk_norm = false;
    compare_with_naive(plain, storage, 12);
    compare_with_naive(sjd::test::full_shape(), storage, 20);
  }
}

TEST_CASE("a row depends on its own prefix only, bit for bit", "[llama]") {
  SECTION("tiny") {
    check_row_invariance(LlamaDirectory{sjd::test::tiny_shape()}, {1, 2, 3, 7, 16, 33, 64},
                         {1, 3, 8}, 89);
  }
  SECTION("shipped shape") {
    check_row_invariance(LlamaDirectory{sjd::test::full_shape()}, {3, 64}, {1, 3}, 70);
  }
}

TEST_CASE("instruction sets change no bit", "[llama]") {
  const LlamaDirectory files{sjd::test::full_shape()};
  const Script script{files.config, 8, true};
  for (const auto storage : {Storage::bf16, Storage::fp32}) {
    LlamaHost best = files.load({.storage = storage});
    const OneByOne expected{best, script, 40};
    for (const auto set : {InstructionSet::scalar, InstructionSet::avx2, InstructionSet::avx512,
                           InstructionSet::amx}) {
      if (!sjd::hosts::supported(set)) continue;
      CAPTURE(static_cast<int>(set), static_cast<int>(storage));
      LlamaHost host = files.load({.storage = storage, .instruction_set = set});
      const std::int64_t rows = set == InstructionSet::scalar ? 6 : 40;
      check_windows(host, {script}, {expected}, rows / 2, rows);
      check_windows(host, {script}, {expected}, rows, rows);
    }
  }
}

TEST_CASE("time of a pass in the middle of a picture", "[.][timing]") {
  const LlamaDirectory files{sjd::test::full_shape()};
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
