// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sjd/core/matrix_view.hpp"
#include "sjd/cpu/kernels.hpp"

namespace sjd::cpu {

/// The matrix W of y = x W^T, packed once into panels of 32 outputs by all inputs.
class PackedMatrix {
 public:
  PackedMatrix() = default;

  /// Packs `at(output, input)`; outputs are padded with zeros to a multiple of 32.
  template <class At>
  PackedMatrix(std::int64_t outputs, std::int64_t inputs, At&& at)
      : inputs_{inputs},
        panels_{(outputs + panel_width - 1) / panel_width},
        rows_(static_cast<std::size_t>(panels_ * inputs)) {
    for (std::int64_t output = 0; output < outputs; ++output) {
      for (std::int64_t k = 0; k < inputs; ++k) {
        rows_[static_cast<std::size_t>(output / panel_width * inputs + k)]
            .outputs[output % panel_width] = at(output, k);
      }
    }
  }

  /// Columns of y: outputs rounded up to a multiple of 32.
  [[nodiscard]] std::int64_t padded_outputs() const noexcept { return panels_ * panel_width; }

  /// y = x W^T, every output one fma chain over ascending inputs.
  ///
  /// shapes  x [rows, inputs or more]; y [rows, padded_outputs()], overwritten
  void multiply(MatrixView<const float> x, MatrixView<float> y) const {
    kernels().product({x.data, x.stride, x.rows, inputs_, rows_.data()->outputs,
                       inputs_ * panel_width, panels_, y.data, y.stride});
  }

 private:
  /// What one input adds to the outputs of a panel.
  struct alignas(64) PanelRow {
    float outputs[panel_width] = {};
  };

  std::int64_t inputs_ = 0;
  std::int64_t panels_ = 0;
  std::vector<PanelRow> rows_;  // [panels, inputs]
};

}  // namespace sjd::cpu
