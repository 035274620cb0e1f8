// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sjd/core/matrix_view.hpp"
#include "sjd/cpu/packed_matrix.hpp"

namespace sjd {

/// The embedding table as the noise sees it: normalised, with the way back.
///
/// ebar(v) = a row of `normalized`; a noisy z is fed as z * scale + mean.
struct EmbeddingSpace {
  std::int64_t vocab = 0;
  std::int64_t dim = 0;
  std::vector<float> normalized;   // [vocab, dim], ebar
  cpu::PackedMatrix scores;        // ebar again, [vocab] outputs of [dim] inputs
  cpu::PackedMatrix mixture;       // the embeddings as the host stores them, [dim] of [vocab]
  std::vector<float> half_square;  // [padded vocab], |ebar(v)|^2 / 2
  std::vector<float> log_prior;  // [padded vocab], 0 if the checkpoint has none, -Inf behind vocab
  std::vector<float> mean;       // [dim]
  std::vector<float> scale;      // [dim], > 0

  /// ebar of one token [dim].
  [[nodiscard]] std::span<const float> clean(std::int64_t token) const {
    return {normalized.data() + token * dim, static_cast<std::size_t>(dim)};
  }
};

}  // namespace sjd
