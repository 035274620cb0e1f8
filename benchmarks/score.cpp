// SPDX-License-Identifier: Apache-2.0
#include "score.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <sjd/cpu/rows.hpp>
#include <sjd/policies/grammar.hpp>

#include "engine.hpp"

namespace sjd::bench {
namespace {

double surprise(const TokenLaw& law, TokenId token) {
  constexpr double most = 32.0 * std::numbers::ln2;
  const std::uint32_t mass = law.mass(token);
  if (mass == 0) return most;
  return std::log(static_cast<double>(law.sum()) / static_cast<double>(mass));
}

}  // namespace

void Scorer::run_picture(const paint::Request& request, std::span<const TokenId> tokens) {
  const std::int64_t vocab = engine_->vocab_size();
  const auto branches = static_cast<std::int32_t>(request.guidance.size()) + 1;
  const auto count = static_cast<std::int64_t>(tokens.size()) - 1;
  first_.resize(static_cast<std::size_t>(branches * vocab));
  engine_->prefill(0, request.prompt, {first_.data(), branches, vocab});
  std::vector<KeepLength> keep;
  std::vector<InputRow> rows;
  for (std::int32_t branch = 0; branch < branches; ++branch) {
    keep.push_back({.sequence = 0, .branch = branch, .length = 0});
    for (std::int64_t p = 0; p < count; ++p) {
      rows.push_back(
          {.branch = branch, .position = p, .token = tokens[static_cast<std::size_t>(p)]});
    }
  }
  rest_.resize(rows.size() * static_cast<std::size_t>(vocab));
  if (count == 0) return;
  engine_->forward({keep, rows, {}, {rest_.data(), branches * count, vocab}});
}

double Scorer::nats_per_token(const paint::Request& request, std::span<const TokenId> tokens) {
  run_picture(request, tokens);
  const std::int64_t vocab = engine_->vocab_size();
  const auto branches = static_cast<std::int64_t>(request.guidance.size()) + 1;
  const auto count = static_cast<std::int64_t>(tokens.size()) - 1;
  cpu::RowPipeline pipeline;
  TokenLaw law;
  const auto look_up = [&](const cpu::SequenceRows& block, std::int64_t row, Position position) {
    pipeline.law(block.row(row), request.guidance, NoGrammar{}, request.sampling, 0, position, law);
    return surprise(law, tokens[static_cast<std::size_t>(position)]);
  };
  const cpu::SequenceRows first{{first_.data(), branches, vocab}, 0, 1, branches};
  const cpu::SequenceRows rest{{rest_.data(), branches * count, vocab}, 0, count, branches};
  double sum = look_up(first, 0, 0);
  for (std::int64_t p = 0; p < count; ++p) sum += look_up(rest, p, p + 1);
  return sum / static_cast<double>(tokens.size());
}

}  // namespace sjd::bench
