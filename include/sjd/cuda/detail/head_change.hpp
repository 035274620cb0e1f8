// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "sjd/core/sampling.hpp"
#include "sjd/cuda/detail/redraw_kernel.hpp"
#include "sjd/cuda/logit_types.hpp"

namespace sjd::cuda {

inline constexpr std::int64_t most_neighbours = 64;  ///< that a head looks at

/// The tensors of a corrector head where kernels read them; see hosts::CorrectorWeights.
///
/// shapes  N neighbours, H width, D distances, V vocab, P = V rounded up to a multiple of 4;
///         neighbours [N], ascending; now, before [N, V + 1, H], row V: no token; changed [N, H];
///         distance [D, H]; inner_bias [H]; input [2 hidden_dim, H], inner [H, H],
///         output [H, P]: products with inputs in front, so that neighbouring threads read
///         neighbouring numbers
struct HeadTables {
  std::int64_t neighbour_count = 0;
  std::int64_t width = 0;
  std::int64_t distances = 0;
  std::int64_t vocab = 0;
  std::int64_t padded_vocab = 0;
  std::int64_t hidden_dim = 0;
  const std::int32_t* neighbours = nullptr;
  const Bf16* now = nullptr;
  const Bf16* before = nullptr;
  const Bf16* changed = nullptr;
  const Bf16* distance = nullptr;
  const Bf16* input = nullptr;
  const Bf16* inner = nullptr;
  const Bf16* output = nullptr;
  const float* inner_bias = nullptr;
};

namespace detail {

/// x / (1 + exp(-x)) in the arithmetic of the reference host.
[[nodiscard]] SJD_HOST_DEVICE inline float host_silu(float x) {
  float e = -x > -87.0F ? -x : -87.0F;
  e = e < 88.0F ? e : 88.0F;
  const float shifted = std::fmaf(e, 1.44269504F, 12582912.0F);
  const float n = shifted - 12582912.0F;
  float r = std::fmaf(n, -0.693145752F, e);
  r = std::fmaf(n, -1.42860677e-6F, r);
  float p = 1.0F / 720.0F;
  p = std::fmaf(p, r, 1.0F / 120.0F);
  p = std::fmaf(p, r, 1.0F / 24.0F);
  p = std::fmaf(p, r, 1.0F / 6.0F);
  p = std::fmaf(p, r, 0.5F);
  p = std::fmaf(p, r, 1.0F);
  p = std::fmaf(p, r, 1.0F);
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(p);
  const float power = std::bit_cast<float>(bits + (std::bit_cast<std::uint32_t>(shifted) << 23));
  return x / (1.0F + power);
}

}  // namespace detail

/// HeadCorrector on a device: the head of a checkpoint, read from device memory and the
/// second-level cache. Every product is one fp32 fma chain over ascending inputs, so that the
/// changes have the bits of hosts::CorrectorHead with Storage::fp32.
///
/// shapes  B branches of a pass, R its rows: hidden [sequences x B x R, hidden_dim], the rows that
///         the image head reads; guided [sequences, depth + 1, hidden_dim],
///         roots [sequences, depth, H] and lines [sequences, 2, H] are scratch
struct HeadChange {
  /// Neighbours of the draft that is corrected.
  struct Shared {
    TokenId now[most_neighbours];
    TokenId before[most_neighbours];
  };

  HeadTables head{};
  std::int64_t sequences = 0;  // that guided, roots and lines have room for
  std::int64_t depth = 0;
  std::int64_t branches = 1;
  std::int64_t rows = 1;
  const float* hidden = nullptr;
  float* guided = nullptr;
  float* roots = nullptr;
  float* lines = nullptr;

  /// Guided hidden rows, then all that does not depend on tokens as they will be.
  template <class Block>
  SJD_DEVICE void prepare(Block& block, const RedrawScene& scene) const {
    block.cluster_phase([this, scene](const Thread<Shared>& t) { guide(scene, t); });
    block.cluster_phase([this, scene](const Thread<Shared>& t) { root(scene, t); });
  }

  /// Whether a neighbour changed; notes all of them.
  [[nodiscard]] SJD_DEVICE bool changed(const DraftContext& draft, Shared& s) const {
    bool any = false;
    for (std::int64_t n = 0; n < head.neighbour_count; ++n) {
      s.now[n] = draft.now(head.neighbours[n]);
      s.before[n] = draft.before(head.neighbours[n]);
      any = any || s.now[n] != s.before[n];
    }
    return any;
  }

  /// Both hidden layers.
  template <class Block>
  SJD_DEVICE void correct(Block& block, const DraftContext& draft) const {
    block.cluster_phase([this, draft](const Thread<Shared>& t) { enter(draft, t); });
    block.cluster_phase([this, draft](const Thread<Shared>& t) { go_deeper(draft, t); });
  }

  /// The output layer, four tokens at once.
  SJD_DEVICE void change(const DraftContext& draft, const Shared&, std::int64_t token,
                         float (&inout_logits)[4]) const {
    const float* y = line(draft.sequence) + head.width;
    float sums[4]{};
    for (std::int64_t k = 0; k < head.width; ++k) {
      const Bf16* weights = head.output + k * head.padded_vocab + token;
      for (int i = 0; i < 4; ++i) sums[i] = std::fmaf(y[k], to_float(weights[i]), sums[i]);
    }
    for (int i = 0; i < 4; ++i) inout_logits[i] += sums[i];
  }

 private:
  static constexpr int drafts_at_once = 8;

  SJD_DEVICE static std::int64_t first(const Thread<Shared>& t) {
    return std::int64_t{t.rank} * t.count + t.index;
  }
  SJD_DEVICE static std::int64_t step(const Thread<Shared>& t) {
    return std::int64_t{t.ranks} * t.count;
  }
  [[nodiscard]] SJD_DEVICE float* line(std::int64_t sequence) const {
    return lines + 2 * sequence * head.width;
  }
  [[nodiscard]] SJD_DEVICE std::int64_t table_row(std::int64_t neighbour, TokenId token) const {
    return (neighbour * (head.vocab + 1) + (token < 0 ? head.vocab : token)) * head.width;
  }

  /// A phase: the guided row left of the first draft's, and those of all drafts; see cpu::guide.
  SJD_DEVICE void guide(const RedrawScene& scene, const Thread<Shared>& t) const {
    const SequenceSettings& settings = scene.batch.settings[scene.sequence];
    const std::int64_t size = (scene.verdict.state.redrawn + 1) * head.hidden_dim;
    const std::int64_t branch = rows * head.hidden_dim;
    const std::int64_t row = scene.sequence * branches * rows + scene.verdict.state.shift - 1;
    const float* from = hidden + row * head.hidden_dim;
    float* to = guided + scene.sequence * (depth + 1) * head.hidden_dim;
    for (std::int64_t i = first(t); i < size; i += step(t)) {
      const float last = from[(settings.branches - 1) * branch + i];
      float value = last;
      for (std::int32_t b = 0; b + 1 < settings.branches; ++b) {
        value = guided_logit(from[b * branch + i], last, settings.scales[b], value);
      }
      to[i] = value;
    }
  }

  /// A phase: one output of a few drafts a thread.
  SJD_DEVICE void root(const RedrawScene& scene, const Thread<Shared>& t) const {
    const std::int64_t drafts = scene.verdict.state.redrawn;
    const std::int64_t tiles = (drafts + drafts_at_once - 1) / drafts_at_once;
    const float* x = guided + scene.sequence * (depth + 1) * head.hidden_dim;
    for (std::int64_t i = first(t); i < tiles * head.width; i += step(t)) {
      const std::int64_t output = i % head.width;
      const std::int64_t draft = i / head.width * drafts_at_once;
      const std::int64_t left = drafts - draft;
      float sums[drafts_at_once]{};
      for (std::int64_t k = 0; k < 2 * head.hidden_dim; ++k) {
        const float weight = to_float(head.input[k * head.width + output]);
        // A row and the one before it lie side by side: they are one vector.
        for (int j = 0; j < drafts_at_once; ++j) {
          if (j < left) sums[j] = std::fmaf(x[(draft + j) * head.hidden_dim + k], weight, sums[j]);
        }
      }
      float* to = roots + (scene.sequence * depth + draft) * head.width + output;
      for (int j = 0; j < drafts_at_once; ++j) {
        if (j < left) to[j * head.width] = sums[j];
      }
      for (std::int64_t j = 0; j < drafts_at_once && j < left; ++j) {
        add_old(scene, draft + j, output, to[j * head.width]);
      }
    }
  }

  /// What distance and old tokens add to one output of a draft.
  SJD_DEVICE void add_old(const RedrawScene& scene, std::int64_t number, std::int64_t output,
                          float& inout_sum) const {
    const DraftContext draft{scene.batch, scene.verdict, scene.sequence,
                             scene.verdict.state.shift + number};
    const std::int64_t far = number < head.distances ? number : head.distances - 1;
    float sum = inout_sum + to_float(head.distance[far * head.width + output]);
    for (std::int64_t n = 0; n < head.neighbour_count; ++n) {
      sum += to_float(head.before[table_row(n, draft.before(head.neighbours[n])) + output]);
    }
    inout_sum = sum;
  }

  /// A phase: what the new tokens add, and the first silu.
  SJD_DEVICE void enter(const DraftContext& draft, const Thread<Shared>& t) const {
    const Shared& s = *t.shared;
    const float* root = roots + (draft.sequence * depth + draft.distance() - 1) * head.width;
    for (std::int64_t i = first(t); i < head.width; i += step(t)) {
      float sum = root[i];
      for (std::int64_t n = 0; n < head.neighbour_count; ++n) {
        sum += to_float(head.now[table_row(n, s.now[n]) + i]);
        if (s.now[n] != s.before[n]) sum += to_float(head.changed[n * head.width + i]);
      }
      line(draft.sequence)[i] = detail::host_silu(sum);
    }
  }

  /// A phase: the inner layer, added to what goes in.
  SJD_DEVICE void go_deeper(const DraftContext& draft, const Thread<Shared>& t) const {
    float* x = line(draft.sequence);
    for (std::int64_t i = first(t); i < head.width; i += step(t)) {
      float sum = 0.0F;
      for (std::int64_t k = 0; k < head.width; ++k) {
        sum = std::fmaf(x[k], to_float(head.inner[k * head.width + i]), sum);
      }
      x[head.width + i] = x[i] + detail::host_silu(sum + head.inner_bias[i]);
    }
  }
};

}  // namespace sjd::cuda
