// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <vector>

#include "sjd/hosts/llama.hpp"
#include "support/catch.hpp"
#include "support/llama_script.hpp"

namespace {

using sjd::Error;
using sjd::ErrorCode;
using sjd::InputRow;
using sjd::KeepLength;
using sjd::MatrixView;
using sjd::hosts::LlamaHost;
using sjd::test::LlamaDirectory;
using sjd::test::Logits;
using sjd::test::OneByOne;
using sjd::test::same_bits;
using sjd::test::Script;

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

TEST_CASE("a base model decodes tokens only", "[llama]") {
  const LlamaDirectory files{sjd::test::tiny_shape()};
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
  const LlamaDirectory files{sjd::test::tiny_shape()};
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
  refused(0, 13, {{0, 0, 13}}, {});  // more than is there
  refused(0, -1, {{0, 0, -1}}, {});
  refused(2, 0, {{2, 0, 0}}, {});
  refused(0, 0, {{0, 2, 0}}, {});
  refused(1, 0, {{1, 0, 0}}, {});                     // not prefilled
  refused(0, 5, {{0, 0, 6}, {0, 0, 5}}, {});          // twice
  refused(0, 7, {{0, 0, 6}}, {script.row(0, 0, 7)});  // a hole
  refused(0, 6, {{0, 0, 6}}, {script.row(0, 0, 6), script.row(0, 0, 6)});
  refused(0, 6, {{0, 0, 6}}, {script.row(0, 1, 6)});  // no keep_length
  refused(0, 6, {{0, 0, 6}, {0, 1, 6}}, {script.row(0, 1, 6), script.row(0, 0, 6)});
  refused(0, 6, {{0, 0, 6}}, {with(6, [](InputRow& row) { row.token = 96; })});
  refused(0, 6, {{0, 0, 6}}, {with(6, [](InputRow& row) { row.token = -1; })});
  refused(0, 8, {{0, 0, 8}}, {with(8, [](InputRow& row) { row.level = 6; })});
  refused(0, 8, {{0, 0, 8}}, {with(8, [](InputRow& row) { row.level = -1; })});
  refused(0, 8, {{0, 0, 8}}, {with(8, [](InputRow& row) { row.embedding = 1000; })});
  std::vector<InputRow> many;
  for (std::int64_t i = 0; i < 17; ++i) many.push_back(script.row(0, 0, i));
  refused(-1, -1, {{0, 0, 0}}, many);                      // logits too small
  pass({{0, 0, 11}, {0, 1, 12}}, {script.row(0, 0, 11)});  // both branches are as before
  CHECK(same_bits(out.row(0), expected.branch[0][12]));
}

TEST_CASE("the picture ends one row before its last token", "[llama]") {
  const LlamaDirectory files{sjd::test::tiny_shape()};
  LlamaHost host = files.load();
  const Script script{files.config, 6, false};
  const OneByOne all{host, script, 89};
  Logits out{1, host.vocab_size()};
  const KeepLength keep{0, 0, 89};
  const InputRow row{0, 0, 89, 0, 0, -1};
  check_refused(ErrorCode::contract, 0, 89, [&] {
    host.forward({{&keep, 1}, {&row, 1}, {}, out.view()});
  });
}

TEST_CASE("prefill refuses prompts that the model cannot read", "[llama]") {
  const LlamaDirectory files{sjd::test::tiny_shape()};
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
  check_refused(ErrorCode::contract, 0, 0, [&] { host.forward({{&keep, 1}, {}, {}, out.view()}); });
}
