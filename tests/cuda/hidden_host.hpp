// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "cuda/decode_cases.hpp"
#include "sjd/hosts/corrector_head.hpp"
#include "sjd/hosts/corrector_lines.hpp"
#include "support/table_host.hpp"

namespace sjd::test {

/// The table host, lending hidden rows, with a random corrector head in fp32 storage.
class HiddenHost : public TableHost {
 public:
  static constexpr std::int64_t dim = 16;
  static constexpr std::int64_t width = 64;  // more than the threads of a small block

  explicit HiddenHost(const TableOptions& options)
      : TableHost{options},
        head_{std::make_shared<hosts::CorrectorHead>(weights(options),
                                                     hosts::InstructionSet::scalar, 1)} {}

  [[nodiscard]] std::int64_t hidden_dim() const { return dim; }
  [[nodiscard]] hosts::CorrectorHead& corrector_head() { return *head_; }

  void forward(const ForwardPass<>& pass) {
    TableHost::forward(pass);
    if (pass.hidden.data == nullptr) return;
    for (std::size_t i = 0; i < pass.rows.size(); ++i) {
      const InputRow& row = pass.rows[i];
      const TableCache& cache =
          caches[static_cast<std::size_t>(row.sequence)][static_cast<std::size_t>(row.branch)];
      const std::uint64_t context = cache.contexts[static_cast<std::size_t>(row.position)];
      const std::span<float> hidden = pass.hidden.row(static_cast<std::int64_t>(i));
      for (std::size_t k = 0; k < hidden.size(); ++k) hidden[k] = TableRule::hidden(context, k);
    }
  }

 private:
  /// Numbers of bf16 in [-gain, gain].
  static std::vector<float> numbers(std::uint64_t seed, std::int64_t count, float gain) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < count; ++i) {
      const float x = gain * TableRule::unit(mix(seed * 1000003 + static_cast<std::uint64_t>(i)));
      values.push_back(std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xFFFF0000U));
    }
    return values;
  }

  static hosts::CorrectorWeights weights(const TableOptions& options) {
    using hosts::PackedLinear;
    using hosts::RowTable;
    constexpr auto fp32 = hosts::Storage::fp32;
    const std::int64_t vocab = options.vocab;
    const std::uint64_t seed = options.seed * 16;
    hosts::CorrectorWeights w;
    w.neighbours = {1, 2, 5};
    w.storage = fp32;
    w.vocab = vocab;
    w.width = width;
    w.distances = 3;
    w.now = RowTable{numbers(seed + 1, 3 * (vocab + 1) * width, 0.7F), width, fp32};
    w.before = RowTable{numbers(seed + 2, 3 * (vocab + 1) * width, 0.7F), width, fp32};
    w.changed = RowTable{numbers(seed + 3, 3 * width, 0.7F), width, fp32};
    w.distance = RowTable{numbers(seed + 4, 3 * width, 0.7F), width, fp32};
    w.inner_bias = numbers(seed + 5, width, 0.5F);
    w.input = PackedLinear{numbers(seed + 6, width * 2 * dim, 0.3F), width, 2 * dim, fp32};
    w.inner = PackedLinear{numbers(seed + 7, width * width, 0.3F), width, width, fp32};
    w.output = PackedLinear{numbers(seed + 8, vocab * width, 0.6F), vocab, width, fp32};
    return w;
  }

  std::shared_ptr<hosts::CorrectorHead> head_;  // copies of a host share it
};

/// The head in the arrays that kernels read, and hidden rows for the passes.
template <>
struct DeviceTwin<HeadCorrector> {
  DeviceTwin(const HeadCorrector& corrector, HiddenHost& host, const DecodeCase& c,
             DecodeArrays& all)
      : lines{host.corrector_head().weights()} {
    const std::int64_t sequences = c.table.sequences;
    const auto size = [&](std::int64_t n) { return static_cast<std::size_t>(sequences * n); };
    const auto branches = static_cast<std::int64_t>(c.scales) + 1;
    all.hidden.resize(size(branches * c.window * HiddenHost::dim));
    guided.resize(size((corrector.depth + 1) * HiddenHost::dim));
    roots.resize(size(corrector.depth * HiddenHost::width));
    line.resize(size(2 * HiddenHost::width));
    change = {lines.tables(),    sequences,     corrector.depth, branches,   c.window,
              all.hidden.data(), guided.data(), roots.data(),    line.data()};
  }
  DeviceTwin(const DeviceTwin&) = delete;

  hosts::CorrectorLines lines;
  std::vector<float> guided, roots, line;  // see cuda::HeadChange
  cuda::HeadChange change{};
};

}  // namespace sjd::test
