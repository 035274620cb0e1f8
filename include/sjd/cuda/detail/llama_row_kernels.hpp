// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "sjd/core/philox.hpp"
#include "sjd/cuda/detail/block_sum.hpp"
#include "sjd/cuda/detail/llama_numbers.hpp"
#include "sjd/cuda/detail/phases.hpp"
#include "sjd/model.hpp"

namespace sjd::cuda {

/// What is known of one row of a pass.
enum class RowKind : std::int32_t {
  absent,  ///< sequence < 0
  bad,     ///< not a row of this model: its outputs are NaN, its caches stay as they are
  live,
};

/// Where a row stands.
struct RowPlace {
  RowKind kind = RowKind::absent;
  std::int32_t slot = -1;     ///< of the cache, if live
  std::int64_t position = 0;  ///< from the first word of the prompt
};

/// Where the rows of one (sequence, branch) of a pass stand.
struct GroupPlace {
  std::int32_t slot = -1;  ///< -1: none of them is live
  std::uint32_t keys = 0;  ///< one more than the last live position
};

/// The rows that a model takes.
struct RowLimits {
  std::int64_t sequences = 0;
  std::int64_t branches = 0;      ///< slots of a sequence
  std::int64_t words = 0;         ///< rows of the text embedding
  std::int64_t codes = 0;         ///< rows of the image embedding
  std::int64_t image_tokens = 0;  ///< rows of the position embedding
  std::int64_t levels = 0;        ///< rows of the level embedding
  std::int64_t fed = 0;           ///< embeddings of the pass
};

/// What place_rows works on.
///
/// shapes  input, places [groups, rows]; groups [group_count]; prompt_rows [slots], words and the
///         begin-of-image token of each slot, 0: not prefilled
struct PlaceArguments {
  const InputRow* input = nullptr;
  std::int64_t group_count = 0;
  std::int64_t rows = 0;
  bool prompt = false;  ///< rows at image positions < 0 are allowed: words, and <image> at -1
  RowLimits limits{};
  const std::int64_t* prompt_rows = nullptr;
  RowPlace* places = nullptr;
  GroupPlace* groups = nullptr;
};

/// What embed_rows works on.
///
/// shapes  input, places [row_count]; fed [RowLimits::fed, dim] at fed_stride; text [words, dim], image [codes, dim],
///         position [image_tokens, dim], level [levels, dim]; hidden [row_count, dim]
template <StoredNumber Number>
struct EmbedArguments {
  const InputRow* input = nullptr;
  RowPlace* places = nullptr;
  std::int64_t row_count = 0;
  std::int64_t dim = 0;
  const float* fed = nullptr;
  std::int64_t fed_stride = 0;
  const Number* text = nullptr;
  const Number* image = nullptr;
  const Number* position = nullptr;
  const Number* level = nullptr;
  float* hidden = nullptr;
};

/// What norm_rows works on.
///
/// shapes  hidden [., dim]; gather [row_count], the row of hidden that becomes row i, null: row i;
///         weight [dim]; out [row_count, dim]; wide [row_count, dim], the same unrounded, or null;
///         places [.], of the rows of hidden: `wide` is left alone for an absent one; null: none is
template <StoredNumber Number>
struct NormArguments {
  const float* hidden = nullptr;
  const std::int32_t* gather = nullptr;
  const RowPlace* places = nullptr;
  std::int64_t row_count = 0;
  std::int64_t dim = 0;
  const float* weight = nullptr;
  float epsilon = 0.0F;
  Number* out = nullptr;
  float* wide = nullptr;
  std::int64_t wide_stride = 0;
};

/// What activate works on.
///
/// shapes  gate_up [row_count, 2, inner]; out [row_count, inner]
template <StoredNumber Number>
struct ActivateArguments {
  const Number* gate_up = nullptr;
  std::int64_t row_count = 0;
  std::int64_t inner = 0;
  Number* out = nullptr;
};

/// What fill_random works on.
///
/// shapes  out [size]
template <StoredNumber Number>
struct FillArguments {
  Number* out = nullptr;
  std::int64_t size = 0;
  std::uint64_t seed = 0;
  std::uint32_t tensor = 0;  ///< another one for each tensor of a seed
  float mean = 0.0F;
  float spread = 0.0F;  ///< numbers are uniform in mean +- spread
};

namespace detail {

/// One block a group; see place_rows.
struct PlaceKernel {
  struct Shared {
    std::int32_t slot;
    std::uint32_t keys;
  };
  using Arguments = PlaceArguments;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t group = block.cluster();
    block.phase([](const Here& t) {
      if (t.index > 0) return;
      t.shared->slot = -1;
      t.shared->keys = 0;
    });
    block.phase([&a, group](const Here& t) {
      for (std::int64_t i = t.index; i < a.rows; i += t.count) {
        const RowPlace place = place_of(a, a.input[group * a.rows + i]);
        a.places[group * a.rows + i] = place;
        if (place.kind != RowKind::live) continue;
        atomic_max(t.shared->slot, place.slot);
        atomic_max(t.shared->keys, static_cast<std::uint32_t>(place.position + 1));
      }
    });
    block.phase([&a, group](const Here& t) {
      if (t.index == 0) a.groups[group] = {t.shared->slot, t.shared->keys};
    });
  }

 private:
  SJD_DEVICE static bool within(std::int64_t value, std::int64_t end) {
    return value >= 0 && value < end;
  }

  SJD_DEVICE static RowPlace place_of(const Arguments& a, const InputRow& row) {
    if (row.sequence < 0) return {};
    const RowPlace bad{RowKind::bad, -1, 0};
    if (row.sequence >= a.limits.sequences || !within(row.branch, a.limits.branches)) return bad;
    const auto slot = static_cast<std::int32_t>(row.sequence * a.limits.branches + row.branch);
    const std::int64_t prompt = a.prompt_rows[slot];
    const std::int64_t position = prompt + row.position;
    if (prompt == 0 || position < 0 || row.position + 1 >= a.limits.image_tokens) return bad;
    if (row.position < 0) {
      if (!a.prompt || !within(row.token, a.limits.words)) return bad;
    } else if (row.level == 0) {
      if (!within(row.token, a.limits.codes)) return bad;
    } else if (!within(row.level - 1, a.limits.levels) || !within(row.embedding, a.limits.fed)) {
      return bad;
    }
    return {RowKind::live, slot, position};
  }
};

/// One block a row; see embed_rows.
template <StoredNumber Number>
struct EmbedKernel {
  struct Shared {
    RowKind kind;
    std::uint32_t broken;  // a fed number is not finite
  };
  using Arguments = EmbedArguments<Number>;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t row = block.cluster();
    block.phase([&a, row](const Here& t) {
      if (t.index > 0) return;
      t.shared->kind = a.places[row].kind;
      t.shared->broken = 0;
    });
    block.phase([&a, row](const Here& t) {
      const InputRow& input = a.input[row];
      if (t.shared->kind != RowKind::live || input.level == 0) return;
      for (std::int64_t d = t.index; d < a.dim; d += t.count) {
        if (!is_finite(a.fed[input.embedding * a.fed_stride + d])) {
          atomic_max(t.shared->broken, std::uint32_t{1});
        }
      }
    });
    block.phase([&a, row](const Here& t) { write(a, row, t); });
  }

 private:
  SJD_DEVICE static void write(const Arguments& a, std::int64_t row, const Here& t) {
    const bool bad = t.shared->kind == RowKind::bad || t.shared->broken != 0;
    if (bad && t.index == 0) a.places[row] = {RowKind::bad, -1, 0};
    for (std::int64_t d = t.index; d < a.dim; d += t.count) {
      float h = bad ? std::numeric_limits<float>::quiet_NaN() : 0.0F;
      if (!bad && t.shared->kind == RowKind::live) h = embedded(a, a.input[row], d);
      a.hidden[row * a.dim + d] = h;
    }
  }

  /// docs/checkpoint.md, "The model".
  SJD_DEVICE static float embedded(const Arguments& a, const InputRow& input, std::int64_t d) {
    float h = 0.0F;
    if (input.position < 0) {
      h = to_float(a.text[input.token * a.dim + d]);
    } else if (input.level == 0) {
      h = to_float(a.image[input.token * a.dim + d]);
    } else {
      h = a.fed[input.embedding * a.fed_stride + d] +
          to_float(a.level[(input.level - 1) * a.dim + d]);
    }
    if (input.position >= -1) h += to_float(a.position[(input.position + 1) * a.dim + d]);
    return h;
  }
};

/// Sums of floats in an order that the number of threads fixes.
struct SquareSum {
  float value;

  SJD_DEVICE static SquareSum zero() { return {0.0F}; }
  SJD_DEVICE SquareSum& operator+=(const SquareSum& other) {
    value += other.value;
    return *this;
  }
};

/// One block a row; see norm_rows.
template <StoredNumber Number>
struct NormKernel {
  struct Shared {
    BlockSum<SquareSum> squares;
  };
  using Arguments = NormArguments<Number>;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t row = block.cluster();
    const std::int64_t from = a.gather == nullptr ? row : a.gather[row];
    block.phase([&a, from](const Here& t) {
      float sum = 0.0F;
      const float* x = a.hidden + from * a.dim;
      for (std::int64_t d = t.index; d < a.dim; d += t.count) sum += x[d] * x[d];
      t.shared->squares.part[t.index] = {sum};
    });
    block.phase([](const Here& t) { t.shared->squares.add_groups(t.index, t.count); });
    block.phase([&a, row, from](const Here& t) {
      const float mean = t.shared->squares.total(t.count).value / static_cast<float>(a.dim);
      const float factor = 1.0F / std::sqrt(mean + a.epsilon);
      const bool wide =
          a.wide != nullptr && (a.places == nullptr || a.places[from].kind != RowKind::absent);
      for (std::int64_t d = t.index; d < a.dim; d += t.count) {
        const float y = a.hidden[from * a.dim + d] * factor * a.weight[d];
        a.out[row * a.dim + d] = rounded<Number>(y);
        if (wide) a.wide[row * a.wide_stride + d] = y;
      }
    });
  }
};

/// Several numbers a thread; see activate.
template <StoredNumber Number>
struct ActivateKernel {
  static constexpr int each = 4;

  struct Shared {};
  using Arguments = ActivateArguments<Number>;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t cluster = block.cluster();
    block.phase([&a, cluster](const Here& t) {
      const std::int64_t size = std::int64_t{each} * t.count;
      const std::int64_t blocks = (a.inner + size - 1) / size;
      const std::int64_t row = cluster / blocks;
      const std::int64_t first = cluster % blocks * size + t.index;
      const Number* gate = a.gate_up + row * 2 * a.inner;
      for (std::int64_t i = first; i < a.inner && i < first + size; i += t.count) {
        const float x = to_float(gate[i]);
        const float silu = x / (1.0F + std::exp(-x));
        a.out[row * a.inner + i] = rounded<Number>(silu * to_float(gate[a.inner + i]));
      }
    });
  }
};

/// Four numbers a thread; see fill_random.
template <StoredNumber Number>
struct FillKernel {
  static constexpr int each = 4;

  struct Shared {};
  using Arguments = FillArguments<Number>;
  using Here = Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t cluster = block.cluster();
    block.phase([&a, cluster](const Here& t) {
      const std::int64_t at = cluster * t.count + t.index;
      const auto bits = philox4x32(
          {static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(at >> 32), a.tensor, 0},
          {static_cast<std::uint32_t>(a.seed), static_cast<std::uint32_t>(a.seed >> 32)});
      for (int i = 0; i < each && at * each + i < a.size; ++i) {
        const float unit = static_cast<float>(bits[static_cast<std::size_t>(i)] >> 8U) * 0x1p-23F;
        a.out[at * each + i] = rounded<Number>(a.mean + (unit - 1.0F) * a.spread);
      }
    });
  }
};

}  // namespace detail

}  // namespace sjd::cuda
