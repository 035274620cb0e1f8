// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "sjd/cuda/decode_device.hpp"
#include "sjd/cuda/decode_rules.hpp"
#include "sjd/cuda/redraw.hpp"
#include "sjd/detail/state_checks.hpp"

namespace sjd::cuda {

/// The tables of DecodeRules in the memory of a device.
template <DecodeDevice Device>
class DeviceRules {
 public:
  DeviceRules(Device& device, const DecodeRules& rules)
      : rules_{rules},
        lines_{rules.schedule},
        forced_{device, of(rules.grammar.forced)},
        allowed_{device, of(rules.grammar.allowed)},
        coefficients_{device, of(lines_.coefficients)},
        levels_{device, of(lines_.checkpoint_level)},
        clean_{device, of(rules.clean)},
        mean_{device, of(rules.mean)},
        scale_{device, of(rules.scale)},
        scores_{device, of(rules.scores)},
        half_square_{device, of(rules.half_square)},
        log_prior_{device, of(rules.log_prior)},
        embeddings_{device, of(rules.embeddings)} {}

  [[nodiscard]] const DecodeRules& rules() const { return rules_; }
  /// What a state must fit into, whatever its sequence and however wide its window.
  [[nodiscard]] sjd::detail::StateBounds bounds() const {
    return {.sequences = std::numeric_limits<std::int32_t>::max(),
            .vocab = rules_.vocab,
            .dim = rules_.noisy ? rules_.dim : 0,
            .levels = rules_.noisy ? rules_.schedule.levels : 0,
            .drafts = std::numeric_limits<std::int32_t>::max()};
  }
  [[nodiscard]] GrammarTable grammar() const {
    return {rules_.grammar.period, rules_.grammar.words, forced_.data(),
            rules_.grammar.period == 0 ? nullptr : allowed_.data()};
  }

  /// Writes what the window kernel needs of the rules; `weights` [sequences x rows, vocab].
  void write(float* weights, WindowArguments& arguments) const {
    arguments.grammar = grammar();
    arguments.refresh = rules_.refresh;
    arguments.vocab = rules_.vocab;
    if (!rules_.noisy) return;
    arguments.noise = {rules_.schedule, rules_.schedule.levels, coefficients_.data(),
                       levels_.data()};
    arguments.clean = clean_.data();
    arguments.mean = mean_.data();
    arguments.scale = scale_.data();
    if (!rules_.posterior) return;
    arguments.posterior = {scores_.data(), half_square_.data(), log_prior_.data(),
                           embeddings_.data(), weights};
  }

 private:
  template <class T>
  static std::span<const T> of(const std::vector<T>& values) {
    return values;
  }

  DecodeRules rules_;
  NoiseLines lines_;
  DeviceArray<TokenId, Device> forced_;
  DeviceArray<std::uint32_t, Device> allowed_;
  DeviceArray<NoiseCoefficients, Device> coefficients_;
  DeviceArray<std::int32_t, Device> levels_;
  DeviceArray<float, Device> clean_;
  DeviceArray<float, Device> mean_;
  DeviceArray<float, Device> scale_;
  DeviceArray<float, Device> scores_;
  DeviceArray<float, Device> half_square_;
  DeviceArray<float, Device> log_prior_;
  DeviceArray<float, Device> embeddings_;
};

/// A corrector head in the memory of a device, with its scratch for `sequences` of `depth` drafts.
///
/// memory  the weights in bf16, and per sequence depth (width + hidden_dim) floats
template <DecodeDevice Device>
class DeviceHead {
 public:
  /// `host`: tables in host memory, see hosts::CorrectorLines
  DeviceHead(Device& device, const HeadTables& host, std::int64_t sequences, std::int64_t depth)
      : sizes_{host},
        sequences_{sequences},
        depth_{depth},
        neighbours_{device, {host.neighbours, size(host.neighbour_count)}},
        now_{device, {host.now, size(table_size())}},
        before_{device, {host.before, size(table_size())}},
        changed_{device, {host.changed, size(host.neighbour_count * host.width)}},
        distance_{device, {host.distance, size(host.distances * host.width)}},
        input_{device, {host.input, size(2 * host.hidden_dim * host.width)}},
        inner_{device, {host.inner, size(host.width * host.width)}},
        output_{device, {host.output, size(host.width * host.padded_vocab)}},
        inner_bias_{device, {host.inner_bias, size(host.width)}},
        guided_{device, sequences * (depth + 1) * host.hidden_dim},
        roots_{device, sequences * depth * host.width},
        lines_{device, sequences * 2 * host.width} {}

  /// For a DeviceDecoder, which says where the hidden rows are.
  [[nodiscard]] HeadChange change() const {
    HeadChange change;
    change.head = sizes_;
    change.head.neighbours = neighbours_.data();
    change.head.now = now_.data();
    change.head.before = before_.data();
    change.head.changed = changed_.data();
    change.head.distance = distance_.data();
    change.head.input = input_.data();
    change.head.inner = inner_.data();
    change.head.output = output_.data();
    change.head.inner_bias = inner_bias_.data();
    change.sequences = sequences_;
    change.depth = depth_;
    change.guided = guided_.data();
    change.roots = roots_.data();
    change.lines = lines_.data();
    return change;
  }

 private:
  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }
  [[nodiscard]] std::int64_t table_size() const {
    return sizes_.neighbour_count * (sizes_.vocab + 1) * sizes_.width;
  }

  HeadTables sizes_;
  std::int64_t sequences_;
  std::int64_t depth_;
  DeviceArray<std::int32_t, Device> neighbours_;
  DeviceArray<Bf16, Device> now_;
  DeviceArray<Bf16, Device> before_;
  DeviceArray<Bf16, Device> changed_;
  DeviceArray<Bf16, Device> distance_;
  DeviceArray<Bf16, Device> input_;
  DeviceArray<Bf16, Device> inner_;
  DeviceArray<Bf16, Device> output_;
  DeviceArray<float, Device> inner_bias_;
  DeviceArray<float, Device> guided_;  // [sequences, depth + 1, hidden_dim]
  DeviceArray<float, Device> roots_;   // [sequences, depth, width]
  DeviceArray<float, Device> lines_;   // [sequences, 2, width]
};

}  // namespace sjd::cuda
