// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/cuda/detail/head_change.hpp"
#include "sjd/hosts/corrector_weights.hpp"

namespace sjd::hosts {

/// A corrector head written out for kernels, on the host; see cuda::HeadTables.
///
/// errors  the constructor throws invalid_argument for a weight that is not a bf16 number, and for
///         more than cuda::most_neighbours neighbours
class CorrectorLines {
 public:
  explicit CorrectorLines(const CorrectorWeights& weights)
      : neighbours{weights.neighbours}, inner_bias{weights.inner_bias} {
    const auto count = static_cast<std::int64_t>(neighbours.size());
    expects(count <= cuda::most_neighbours, ErrorCode::invalid_argument,
            "CorrectorLines: the head looks at more neighbours than a kernel keeps");
    sizes_.neighbour_count = count;
    sizes_.width = weights.width;
    sizes_.distances = weights.distances;
    sizes_.vocab = weights.vocab;
    sizes_.padded_vocab = (weights.vocab + 3) / 4 * 4;
    sizes_.hidden_dim = weights.input.inputs() / 2;
    now = write_out(weights.now, weights.width);
    before = write_out(weights.before, weights.width);
    changed = write_out(weights.changed, weights.width);
    distance = write_out(weights.distance, weights.width);
    input = write_out(weights.input, weights.width, weights.width);
    inner = write_out(weights.inner, weights.width, weights.width);
    output = write_out(weights.output, weights.vocab, sizes_.padded_vocab);
  }

  /// What kernels of the host executor read; for a device, copy every array there.
  [[nodiscard]] cuda::HeadTables tables() const {
    cuda::HeadTables tables = sizes_;
    tables.neighbours = neighbours.data();
    tables.now = now.data();
    tables.before = before.data();
    tables.changed = changed.data();
    tables.distance = distance.data();
    tables.input = input.data();
    tables.inner = inner.data();
    tables.output = output.data();
    tables.inner_bias = inner_bias.data();
    return tables;
  }

 private:
  static cuda::Bf16 narrowed(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    expects((bits & 0xFFFFU) == 0, ErrorCode::invalid_argument,
            "CorrectorLines: a weight is not a bf16 number");
    return {static_cast<std::uint16_t>(bits >> 16U)};
  }
  static std::vector<cuda::Bf16> write_out(const RowTable& table, std::int64_t width) {
    std::vector<cuda::Bf16> out;
    for (std::int64_t row = 0; row < table.rows(); ++row) {
      for (std::int64_t j = 0; j < width; ++j) out.push_back(narrowed(table.value(row, j)));
    }
    return out;
  }
  /// Inputs in front; `outputs` of them padded with zeros.
  static std::vector<cuda::Bf16> write_out(const PackedLinear& layer, std::int64_t outputs,
                                           std::int64_t padded) {
    std::vector<cuda::Bf16> out(static_cast<std::size_t>(layer.inputs() * padded));
    for (std::int64_t k = 0; k < layer.inputs(); ++k) {
      for (std::int64_t j = 0; j < outputs; ++j) {
        out[static_cast<std::size_t>(k * padded + j)] = narrowed(layer.weight(j, k));
      }
    }
    return out;
  }

  cuda::HeadTables sizes_;  // without pointers

 public:
  std::vector<std::int32_t> neighbours;  // [N]
  std::vector<cuda::Bf16> now;           // [N, V + 1, H]
  std::vector<cuda::Bf16> before;        // [N, V + 1, H]
  std::vector<cuda::Bf16> changed;       // [N, H]
  std::vector<cuda::Bf16> distance;      // [D, H]
  std::vector<cuda::Bf16> input;         // [2 hidden_dim, H]
  std::vector<cuda::Bf16> inner;         // [H, H]
  std::vector<cuda::Bf16> output;        // [H, V rounded up to 4]
  std::vector<float> inner_bias;         // [H]
};

}  // namespace sjd::hosts
