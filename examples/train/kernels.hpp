// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

/// The elementwise half of the transformer's training, as plain loops that g++ vectorises. A matrix
/// product on bf16 tiles is so fast that these would otherwise be most of a step: each loop makes
/// one pass.
namespace sjd::train {

/// The bits of a bfloat16; c10::BFloat16 has the same layout.
using Bf16 = std::uint16_t;

/// Which elements of a matrix are dropped, as a function of (seed, index): nothing is stored.
struct Dropout {
  float rate = 0.0F;
  std::uint32_t seed = 0;
};

/// Sizes that the attention loops share.
struct AttentionShape {
  std::int64_t sequences = 0;
  std::int64_t length = 0;  ///< rows of one sequence
  std::int64_t heads = 0;   ///< query heads
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  float epsilon = 1e-5F;
  bool qk_norm = true;

  [[nodiscard]] std::int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
  [[nodiscard]] std::int64_t rows() const { return sequences * length; }
};

/// out = in, rounded to nearest even.
void round_to_bf16(std::span<const float> in, std::span<Bf16> out);

/// sum += in.
void accumulate(std::span<const Bf16> in, float* sum);

/// h_next = h + dropout(branch); normed = h_next * inverse * weight, inverse = 1/rms(h_next).
/// h, h_next [rows, width] may be the same; branch may be null (h_next = dropout(h)).
void add_norm(const float* h, const Bf16* branch, const Bf16* weight, std::int64_t rows,
              std::int64_t width, float epsilon, Dropout dropout, float* h_next, Bf16* normed,
              float* inverse);

/// Adds the gradient of add_norm's norm to dh and dweight, then writes dbranch = dropout(dh) unless
/// null.
void add_norm_backward(const Bf16* dnormed, const float* h_next, const float* inverse,
                       const Bf16* weight, std::int64_t rows, std::int64_t width, Dropout dropout,
                       float* dh, float* dweight, Bf16* dbranch);

/// qkv [rows, qkv_width] -> q [sequences*heads, length, head_dim], k, v [sequences*kv_heads, ...]:
/// norm per head, then rotation by cosine, sine [length, head_dim/2]. inverse [rows,
/// heads+kv_heads].
void split_heads(const AttentionShape& shape, const Bf16* qkv, const Bf16* q_norm,
                 const Bf16* k_norm, const float* cosine, const float* sine, Bf16* q, Bf16* k,
                 Bf16* v, float* inverse);

/// The gradient of split_heads; dnorms [2, head_dim] (q, k) is added to, dqkv is written.
void split_heads_backward(const AttentionShape& shape, const Bf16* qkv, const float* inverse,
                          const Bf16* q_norm, const Bf16* k_norm, const float* cosine,
                          const float* sine, const Bf16* dq, const Bf16* dk, const Bf16* dv,
                          Bf16* dqkv, float* dq_norm, float* dk_norm);

/// [sequences*heads, length, head_dim] -> [rows, heads*head_dim], and back.
void merge_heads(const AttentionShape& shape, const Bf16* in, Bf16* out);
void unmerge_heads(const AttentionShape& shape, const Bf16* in, Bf16* out);

/// scores [sequences*heads, length, length] -> probabilities in place over keys
/// first[sequence]..row; a row before `first` looks at itself alone, and nothing looks at it.
void causal_softmax(const AttentionShape& shape, const std::int32_t* first, Bf16* scores);

/// dprobabilities -> dscores in place, the scale included.
void causal_softmax_backward(const AttentionShape& shape, const std::int32_t* first,
                             const Bf16* probabilities, Bf16* dprobabilities);

/// gate_up [rows, 2*width] -> silu(gate) * up [rows, width].
void swiglu(const Bf16* gate_up, std::int64_t rows, std::int64_t width, Bf16* out);

/// The gradient of swiglu; gate_up is overwritten by its gradient.
void swiglu_backward(const Bf16* dout, std::int64_t rows, std::int64_t width, Bf16* inout_gate_up);

/// Cross-entropy of logits [rows, classes], one weight a row. Adds -log p to losses[row] and
/// replaces logits by weight * (softmax - onehot) unless `keep_logits`.
void cross_entropy(Bf16* inout_logits, const std::int32_t* targets, const float* weights,
                   std::int64_t rows, std::int64_t classes, bool keep_logits, float* losses);

/// AdamW on one slice of the flat parameters; `rounded` receives the bf16 weights, `average` their
/// EMA.
struct AdamStep {
  float rate = 1e-3F;
  float beta1 = 0.9F;
  float beta2 = 0.95F;
  float epsilon = 1e-8F;
  float gradient_scale = 1.0F;  ///< what clipping leaves of the gradient
  float correction1 = 1.0F;     ///< 1 - beta1^step
  float correction2 = 1.0F;
  float average_decay = 0.999F;
};
void adam_update(const AdamStep& step, float weight_decay, std::int64_t count,
                 const float* gradient, float* weight, float* first, float* second, float* average,
                 Bf16* rounded);

/// Sum of squares in double.
[[nodiscard]] double squared_norm(std::span<const float> values);

/// Denormals to zero in the calling thread: they cost a hundred cycles each.
void flush_denormals();

}  // namespace sjd::train
