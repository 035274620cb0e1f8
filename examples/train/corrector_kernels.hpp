// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "kernels.hpp"

/// The elementwise half of a corrector head's training step, as loops that g++ vectorises.
namespace sjd::train {

/// Rows of the lookup table that one example adds up.
struct TableRows {
  const std::int32_t* rows = nullptr;  ///< [examples, stride], -1 = none
  std::int64_t stride = 0;
};

/// u = product + tokens + sum of table rows; x = silu(u).
///
/// shapes  product, tokens, x_rounded [examples, width]; u [examples, width]
void add_tables(const Bf16* product, const Bf16* tokens, const float* table, TableRows rows,
                std::int64_t examples, std::int64_t width, float* u, Bf16* x_rounded);

/// v = product + bias; y = silu(u) + silu(v).
void residual(const Bf16* product, const float* bias, const float* u, std::int64_t examples,
              std::int64_t width, float* v, Bf16* y);

/// Drops elements of `inout`, nothing at rate 0.
void drop(Dropout dropout, std::span<Bf16> inout);

/// dv = dy * silu'(v); dbias is added to.
void residual_backward(const Bf16* dy, const float* v, std::int64_t examples, std::int64_t width,
                       Bf16* dv, float* dbias);

/// du = (dy + dx) * silu'(u), added to the gradient rows of the table as well.
void add_tables_backward(const Bf16* dy, const Bf16* dx, const float* u, TableRows rows,
                         std::int64_t examples, std::int64_t width, Bf16* du, float* dtable);

/// Half the L1 distance and the cross-entropy of one example.
struct LawLoss {
  float variation = 0.0F;
  float entropy = 0.0F;
};

/// softmax(logits * logit_step + change) against `target`; replaces change by
/// weight * d(variation + entropy_share * entropy) if `weight` is not 0.
LawLoss law_loss(const std::int16_t* logits, const Bf16* target, std::int64_t vocab, float weight,
                 float entropy_share, Bf16* inout_change, float* scratch);

/// Adam with bf16 gradients on `count` values; `rounded` receives the bf16 weights.
void adam_rounded(const AdamStep& step, float decay, std::int64_t count, const Bf16* gradient,
                  float* weight, float* first, float* second, Bf16* rounded);

/// Adam on one row with fp32 gradients, which are cleared.
void adam_row(const AdamStep& step, std::int64_t count, float* inout_gradient, float* weight,
              float* first, float* second);

}  // namespace sjd::train
