// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sjd/core/matrix_view.hpp>
#include <span>
#include <vector>

#include "compositions.hpp"

namespace sjd::bench {

/// How probable finished pictures are under the law that they were drawn from.
class Scorer {
 public:
  explicit Scorer(paint::Engine& engine) : engine_{&engine} {}

  /// Mean of -log p over the tokens, in nats, under the request's guidance and filters, by one pass
  /// over the whole picture.
  ///
  /// edge  a token without mass counts as 2^-32, the smallest share that masses resolve
  [[nodiscard]] double nats_per_token(const paint::Request& request,
                                      std::span<const TokenId> tokens);

 private:
  /// Logits of positions 1 .. tokens.size()-1 [branches x (tokens.size()-1), vocab].
  void run_picture(const paint::Request& request, std::span<const TokenId> tokens);

  paint::Engine* engine_;
  std::vector<float> first_;  // [branches, vocab]
  std::vector<float> rest_;   // [branches x (tokens - 1), vocab]
};

}  // namespace sjd::bench
