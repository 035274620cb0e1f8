// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "cuda/kernel_arrays.hpp"
#include "sjd/core/error.hpp"
#include "sjd/core/random.hpp"
#include "sjd/cpu/rows.hpp"
#include "support/table_law.hpp"

/// Rows of every kind, what the CPU path makes of them, and how a kernel's answer is compared. Who
/// runs the kernel is a parameter: the host executor or a device.
namespace sjd::test {

/// A small stream of numbers for building cases.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_{seed} {}
  std::uint64_t next() { return state_ = mix(state_); }
  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(bound));
  }
  float real() { return static_cast<float>(next() >> 40) / 16777216.0F; }

 private:
  std::uint64_t state_;
};

/// One logit of a row of some kind: wide, tie-heavy, peaked, flat, mostly masked, signed zeros,
/// and the edge of what has a mass.
inline float logit_of(std::int64_t kind, Dice& dice) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float x = dice.real();
  switch (kind) {
    case 0:
      return 12.0F * (x + dice.real() + dice.real()) - 18.0F;
    case 1:
      return std::floor(6.0F * x);
    case 2:
      return dice.below(200) == 0 ? 9.0F : -40.0F * x;
    case 3:
      return 0.25F;
    case 4:
      return dice.below(20) == 0 ? 3.0F * x : -infinity;
    case 5:
      return dice.below(2) == 0 ? -0.0F : 0.0F;
    default:
      return -22.0F * x - 0.25F * static_cast<float>(dice.below(4));
  }
}

/// The nearest number of a short type, ties away from zero: any rounding does.
inline std::uint16_t to_short(LogitType type, float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (type == LogitType::bf16) return static_cast<std::uint16_t>(bits >> 16);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000U);
  const float size = std::fabs(x);
  if (!(size <= 65504.0F)) {
    return static_cast<std::uint16_t>(sign | (std::isnan(x) ? 0x7E00U : 0x7C00U));
  }
  if (size < 6.1035156e-5F) {
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(size * 16777216.0F));
  }
  const std::uint32_t rest = (bits & 0x7FFFFFFFU) - (112U << 23);
  return static_cast<std::uint16_t>(sign | rest >> 13);
}

/// What the cases of one launch share.
struct RowsCase {
  LogitType type = LogitType::fp32;
  std::int64_t vocab = 2;
  std::int64_t tasks = 8;
  cuda::DrawKind draw = cuda::DrawKind::categorical;
  std::uint64_t seed = 1;
  bool unaligned = false;  ///< a row stride that no wide load likes
  bool bad_rows = false;   ///< some rows hold NaN, +Inf or nothing
};

/// Codes with a row end every fifth position, which makes forced rows and masked tokens.
inline RowEndGrammar grammar_of(const RowsCase& c) {
  return {.columns = 4, .row_end = static_cast<TokenId>(c.vocab / 2)};
}

inline void add_sequence(const RowsCase& c, Dice& dice, std::int64_t number, RowsBatch& batch) {
  cuda::SequenceSettings settings;
  const auto seed = dice.next();
  settings.key = mix_key(seed, 3);
  const float temperatures[] = {1.0F, 0.7F, 1.9F, 0.0F, 1.0e-30F};
  const std::int64_t some = 1 + dice.below(c.vocab);
  const std::int64_t top_k[] = {0, 1, some, c.vocab, std::max<std::int64_t>(1, c.vocab / 4)};
  const float top_p[] = {1.0F, 0.9F, 0.3F, 1.0e-6F, 0.999F};
  settings.sampling = {.temperature = temperatures[number < 3 ? number : dice.below(5)],
                       .top_k = top_k[dice.below(5)],
                       .top_p = top_p[number % 2 == 0 ? 0 : dice.below(5)]};
  settings.branches = static_cast<std::int32_t>(1 + dice.below(3));
  batch.scales.emplace_back();
  for (std::int32_t b = 1; b < settings.branches; ++b) {
    batch.scales.back().push_back(4.0F * dice.real() - 0.5F);
  }
  batch.settings.push_back(settings);
  batch.seeds.push_back(seed);
}

inline void add_task(const RowsCase& c, Dice& dice, RowsBatch& batch) {
  cuda::RowTask task;
  task.sequence = static_cast<std::int32_t>(dice.below(std::ssize(batch.settings)));
  const std::int32_t branches = batch.settings[static_cast<std::size_t>(task.sequence)].branches;
  task.position = dice.below(1000);
  task.iteration = dice.below(100);
  task.logits = batch.logit_rows;
  task.branch_step = 1;
  task.law = std::ssize(batch.tasks);
  for (std::int32_t b = 0; b < branches; ++b) {
    const std::int64_t kind = dice.below(7);
    const auto first = batch.logits.size();
    for (std::int64_t v = 0; v < batch.stride; ++v) batch.logits.push_back(logit_of(kind, dice));
    const auto end = batch.logits.begin() + static_cast<std::ptrdiff_t>(first) + c.vocab;
    if (std::none_of(batch.logits.begin() + static_cast<std::ptrdiff_t>(first), end,
                     [](float z) { return std::isfinite(z); })) {
      batch.logits[first] = 1.0F;
    }
    batch.logit_rows += 1;
  }
  if (c.bad_rows && dice.below(3) == 0) {
    float* row = batch.logits.data() + task.logits * batch.stride;
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const std::int64_t at = dice.below(c.vocab);
    const std::int64_t kind = dice.below(3);
    if (kind == 2) std::fill_n(row, branches * batch.stride, -infinity);
    if (kind < 2) row[at] = kind == 0 ? infinity : std::numeric_limits<float>::quiet_NaN();
  }
  batch.tasks.push_back(task);
}

inline RowsBatch make_rows(const RowsCase& c) {
  Dice dice{c.seed * 1000 + static_cast<std::uint64_t>(c.vocab)};
  RowsBatch batch;
  batch.type = c.type;
  batch.vocab = c.vocab;
  batch.stride = (c.vocab + 3) / 4 * 4 + (c.unaligned ? 3 : 4);
  batch.draw = c.draw;
  batch.capacity = c.vocab;
  batch.grammar = cuda::write_out(grammar_of(c), 5, c.vocab);
  for (std::int64_t s = 0; s < 6; ++s) add_sequence(c, dice, s, batch);
  for (std::size_t s = 0; s < batch.settings.size(); ++s) {
    batch.settings[s].scales = batch.scales[s].data();
  }
  for (std::int64_t i = 0; i < c.tasks; ++i) add_task(c, dice, batch);
  batch.tasks.front().sequence = -1;  // a row that is not there
  if (c.type != LogitType::fp32) {
    for (float& z : batch.logits) {
      batch.short_logits.push_back(to_short(c.type, z));
      z = c.type == LogitType::bf16 ? cuda::to_float(cuda::Bf16{batch.short_logits.back()})
                                    : cuda::to_float(cuda::Fp16{batch.short_logits.back()});
    }
  }
  return batch;
}

/// What the CPU path makes of one task.
struct CpuRow {
  TokenLaw law{};
  TokenId drawn = -1;
  cuda::RowStatus status = cuda::RowStatus::ok;
  std::string error{};
};

inline CpuRow cpu_row(const RowsCase& c, const RowsBatch& batch, const cuda::RowTask& task) {
  const auto s = static_cast<std::size_t>(task.sequence);
  const MatrixView<const float> branches{batch.logits.data() + task.logits * batch.stride,
                                         batch.settings[s].branches, batch.vocab,
                                         task.branch_step * batch.stride};
  cpu::RowPipeline pipeline;
  CpuRow row;
  try {
    pipeline.law(branches, batch.scales[s], grammar_of(c), batch.settings[s].sampling,
                 task.sequence, task.position, row.law);
  } catch (const Error& error) {
    row.status = error.code() == ErrorCode::invalid_logits ? cuda::RowStatus::invalid_logits
                                                           : cuda::RowStatus::empty_support;
    row.error = error.what();
    return row;
  }
  const PhiloxGate gate{batch.seeds[s], 3};
  const DrawKey key{task.position, task.iteration, Purpose::refresh};
  switch (batch.draw) {
    case cuda::DrawKind::categorical:
      row.drawn = gate.categorical(key, row.law);
      break;
    case cuda::DrawKind::quantile:
      row.drawn = gate.quantile(task.position, row.law);
      break;
    case cuda::DrawKind::gumbel:
      row.drawn = gate.gumbel(task.position, row.law);
      break;
    case cuda::DrawKind::mode:
      row.drawn = row.law.mode();
  }
  return row;
}

/// The law that a kernel wrote for task i.
inline TokenLaw law_of(const cuda::LawHead& head, std::span<const TokenId> ids,
                       std::span<const std::uint32_t> masses) {
  TokenLaw law;
  if (head.kind == TokenLaw::Kind::uniform)
    law = TokenLaw::uniform(static_cast<std::int64_t>(head.sum));
  if (head.kind == TokenLaw::Kind::point) law.set_point(head.point);
  if (head.kind == TokenLaw::Kind::list) {
    const auto size = static_cast<std::size_t>(head.size);
    law.set_list(ids.first(size), masses.first(size));
  }
  return law;
}

/// Compares a kernel's answer with the CPU path; an empty text says that every bit is equal.
inline std::string rows_difference(const RowsCase& c, const RowsBatch& batch) {
  for (std::size_t i = 0; i < batch.tasks.size(); ++i) {
    const cuda::LawHead& head = batch.heads[i];
    const std::string where = "task " + std::to_string(i) + ", vocabulary " +
                              std::to_string(c.vocab) + ", seed " + std::to_string(c.seed) + ": ";
    if (batch.tasks[i].sequence < 0) {
      if (!(head == cuda::LawHead{})) return where + "a row that is not there was written";
      continue;
    }
    const CpuRow expected = cpu_row(c, batch, batch.tasks[i]);
    if (head.status != expected.status) {
      return where + "status " + std::to_string(static_cast<int>(head.status)) + ", but " +
             (expected.error.empty() ? "the CPU has a law" : expected.error);
    }
    if (head.status == cuda::RowStatus::invalid_logits &&
        expected.error.find("at token " + std::to_string(head.point) + " ") == std::string::npos) {
      return where + "bad token " + std::to_string(head.point) + ", but " + expected.error;
    }
    if (head.drawn != expected.drawn) {
      return where + "drew " + std::to_string(head.drawn) + ", the CPU " +
             std::to_string(expected.drawn);
    }
    if (head.status != cuda::RowStatus::ok) continue;
    const std::size_t first = i * static_cast<std::size_t>(batch.capacity);
    if (head.size > batch.capacity) return where + "a law larger than its room";
    const TokenLaw law =
        law_of(head, std::span{batch.ids}.subspan(first), std::span{batch.masses}.subspan(first));
    if (!(law == expected.law) || head.sum != expected.law.sum() ||
        head.size != expected.law.size()) {
      return where + "another law: " + std::to_string(head.size) + " tokens of mass " +
             std::to_string(head.sum) + ", the CPU has " + std::to_string(expected.law.size()) +
             " of " + std::to_string(expected.law.sum());
    }
  }
  return "";
}

}  // namespace sjd::test
