// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "cuda/decode_cases.hpp"
#include "sjd/hosts/corrector_head.hpp"
#include "sjd/hosts/corrector_lines.hpp"
#include "support/random_head.hpp"
#include "support/table_host.hpp"

namespace sjd::test {

/// The table host, lending hidden rows, with a random corrector head in fp32 storage.
class HiddenHost : public TableHost {
 public:
  static constexpr std::int64_t dim = 16;

  explicit HiddenHost(const TableOptions& options)
      : TableHost{options}, head_{random_head(options.vocab, dim, options.seed)} {}

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
    roots.resize(size(corrector.depth * random_head_width));
    line.resize(size(2 * random_head_width));
    change = {lines.tables(),    sequences,     corrector.depth, branches,   c.window,
              all.hidden.data(), guided.data(), roots.data(),    line.data()};
  }
  DeviceTwin(const DeviceTwin&) = delete;

  hosts::CorrectorLines lines;
  std::vector<float> guided, roots, line;  // see cuda::HeadChange
  cuda::HeadChange change{};
};

}  // namespace sjd::test
