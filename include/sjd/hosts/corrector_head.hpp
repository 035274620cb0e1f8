// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/hosts/kernels.hpp"
#include "sjd/hosts/linear.hpp"
#include "sjd/hosts/safetensors.hpp"
#include "sjd/policies/corrector.hpp"

namespace sjd::hosts {

/// The tensors of corrector.safetensors; H = width of the head, d = hidden_dim, V = vocab.
struct CorrectorWeights {
  std::vector<std::int32_t>
      neighbours;  // [N], offsets to the left that the head looks at, ascending
  Storage storage = Storage::bf16;
  std::int64_t vocab = 0;
  std::int64_t width = 0;         // H
  std::int64_t distances = 0;     // D; larger distances share the last vector
  std::vector<float> now;         // [N, V + 1, H], row V: no token
  std::vector<float> before;      // [N, V + 1, H]
  std::vector<float> changed;     // [N, H]
  std::vector<float> distance;    // [D, H]
  std::vector<float> inner_bias;  // [H]
  PackedLinear input;   // the rows that predicted the slot left of the draft and the draft -> H
  PackedLinear inner;   // H -> H
  PackedLinear output;  // H -> V
};

/// Reads corrector.safetensors for a model with `vocab` codes and hidden rows of `hidden_dim`.
///
/// errors  bad_file naming the tensor: missing, of another shape, not finite, unknown, or not a bf16 number where
///         storage is bf16
[[nodiscard]] inline CorrectorWeights read_corrector_weights(const std::filesystem::path& path,
                                                             std::int64_t vocab,
                                                             std::int64_t hidden_dim,
                                                             Storage storage);

/// The corrector head of a checkpoint: given what changed to the left of a draft, the change of its
/// logits. A small residual network with one table of vectors for every neighbour.
///
/// u = A [h_(i-1); h_i] + sum_n (now_n[token] + before_n[token] + changed_n) + distance
/// x = silu(u);  y = x + silu(B x + b);  logits += C y
///
/// Row-invariant as the engine is: a slot's result does not depend on what else is in the pass.
/// threads one head belongs to one thread at a time
class CorrectorHead {
 public:
  CorrectorHead(CorrectorWeights weights, InstructionSet instruction_set)
      : weights_{std::move(weights)},
        kernel_{&kernels(instruction_set)},
        input_rows_{weights_.storage, 0, weights_.input.inputs()},
        hidden_row_{weights_.storage, 1, weights_.width},
        hidden_{weights_.width},
        inner_{weights_.width},
        change_{weights_.output.padded_outputs()} {}

  [[nodiscard]] static CorrectorHead load(const std::filesystem::path& path, std::int64_t vocab,
                                          std::int64_t hidden_dim, Storage storage,
                                          InstructionSet instruction_set) {
    return {read_corrector_weights(path, vocab, hidden_dim, storage), instruction_set};
  }

  [[nodiscard]] const CorrectorWeights& weights() const noexcept { return weights_; }

  /// Takes the rows of one sequence for the calls of correct() that follow: the product that reads
  /// them is done for all drafts first .. end-1 at once.
  ///
  /// shapes  hidden [rows, hidden_dim] without gaps, guided; 1 <= first <= end <= rows
  void begin(MatrixView<const float> hidden, std::int64_t first, std::int64_t end) {
    expects(first >= 1 && first <= end && end <= hidden.rows && hidden.stride == hidden.columns &&
                2 * hidden.columns == weights_.input.inputs(),
            ErrorCode::contract, "CorrectorHead: the hidden rows are not those of this model");
    first_ = first;
    end_ = end;
    if (first == end) return;
    const std::int64_t count = end - first;
    if (rows_.size() < count * weights_.width) {
      rows_ = AlignedArray<float>{count * weights_.width};
      input_rows_ = Activations{weights_.storage, count, weights_.input.inputs()};
    }
    for (std::int64_t i = 0; i < count; ++i) {
      // Neighbouring rows lie side by side, so a row and the one before it are one vector.
      input_rows_.store(*kernel_, i, 0, hidden.data + (first - 1 + i) * hidden.stride,
                        2 * hidden.columns);
    }
    weights_.input.apply(*kernel_, input_rows_,
                         {.rows = count,
                          .panels = weights_.input.panels(),
                          .y = rows_.data(),
                          .y_stride = weights_.width});
  }

  /// Adds the change of the logits of one draft; false if no neighbour changed.
  ///
  /// shapes  inout_logits [vocab], guided, at temperature 1
  /// errors  contract if begin() did not cover the row
  [[nodiscard]] bool correct(const CorrectionContext& context, std::span<float> inout_logits) {
    bool any = false;
    for (const std::int32_t offset : weights_.neighbours) {
      any = any || context.now(offset) != context.before(offset);
    }
    if (!any) return false;
    expects(context.row() >= first_ && context.row() < end_ &&
                static_cast<std::int64_t>(inout_logits.size()) == weights_.vocab,
            ErrorCode::contract, "CorrectorHead: begin() did not cover this draft");
    gather(context);
    kernel_->silu(hidden_.data(), hidden_.data(), weights_.width);
    run_inner();
    multiply(weights_.output, change_.data());
    for (std::size_t v = 0; v < inout_logits.size(); ++v) inout_logits[v] += change_.data()[v];
    return true;
  }

 private:
  void gather(const CorrectionContext& context) {
    const std::int64_t width = weights_.width;
    std::copy_n(rows_.data() + (context.row() - first_) * width, width, hidden_.data());
    const std::int64_t step = std::clamp<std::int64_t>(context.distance(), 1, weights_.distances);
    add(weights_.distance, step - 1);
    for (std::size_t n = 0; n < weights_.neighbours.size(); ++n) {
      const TokenId now = context.now(weights_.neighbours[n]);
      const TokenId before = context.before(weights_.neighbours[n]);
      add(weights_.now, table_row(n, now));
      add(weights_.before, table_row(n, before));
      if (now != before) add(weights_.changed, static_cast<std::int64_t>(n));
    }
  }

  [[nodiscard]] std::int64_t table_row(std::size_t neighbour, TokenId token) const {
    const auto n = static_cast<std::int64_t>(neighbour);
    return n * (weights_.vocab + 1) + (token < 0 ? weights_.vocab : token);
  }

  void add(const std::vector<float>& table, std::int64_t row) {
    const float* source = table.data() + row * weights_.width;
    float* sum = hidden_.data();
    for (std::int64_t j = 0; j < weights_.width; ++j) sum[j] += source[j];
  }

  /// y [padded outputs] = layer hidden.
  void multiply(const PackedLinear& layer, float* y) const {
    hidden_row_.store(*kernel_, 0, 0, hidden_.data(), weights_.width);
    layer.apply(*kernel_, hidden_row_,
                {.rows = 1, .panels = layer.panels(), .y = y, .y_stride = layer.padded_outputs()});
  }

  /// hidden = hidden + silu(inner hidden + bias).
  void run_inner() {
    const std::int64_t width = weights_.width;
    multiply(weights_.inner, inner_.data());
    for (std::int64_t j = 0; j < width; ++j) {
      inner_.data()[j] += weights_.inner_bias[static_cast<std::size_t>(j)];
    }
    kernel_->silu(inner_.data(), inner_.data(), width);
    for (std::int64_t j = 0; j < width; ++j) hidden_.data()[j] += inner_.data()[j];
  }

  CorrectorWeights weights_;
  const KernelTable* kernel_;
  Activations input_rows_;      // [end - first, 2 d]
  Activations hidden_row_;      // [1, H]
  AlignedArray<float> rows_;    // [end - first, H]: A [h_(i-1); h_i]
  AlignedArray<float> hidden_;  // [H]
  AlignedArray<float> inner_;   // [H]
  AlignedArray<float> change_;  // [padded vocab]
  std::int64_t first_ = 0;
  std::int64_t end_ = 0;
};

namespace detail {

/// Reads the tensors of one corrector file and remembers which ones were asked for.
class CorrectorReader {
 public:
  CorrectorReader(const std::filesystem::path& path, Storage storage)
      : file_{path}, storage_{storage} {}

  [[nodiscard]] CorrectorWeights read(std::int64_t vocab, std::int64_t hidden_dim) {
    CorrectorWeights w;
    w.storage = storage_;
    w.vocab = vocab;
    w.width = extent("inner.bias", 0, 1, 4'096);
    w.distances = extent("distance.weight", 0, 2, 4'096);
    if (w.width % panel_width != 0) {
      file_.refuse("inner.bias", "the width of the head is not a multiple of 32");
    }
    read_neighbours(w);
    const auto count = static_cast<std::int64_t>(w.neighbours.size());
    w.now = floats("now.weight", {count, vocab + 1, w.width});
    w.before = floats("before.weight", {count, vocab + 1, w.width});
    w.changed = floats("changed.weight", {count, w.width});
    w.distance = floats("distance.weight", {w.distances, w.width});
    w.inner_bias = floats("inner.bias", {w.width});
    w.input = pack("input.weight", w.width, 2 * hidden_dim);
    w.inner = pack("inner.weight", w.width, w.width);
    w.output = pack("output.weight", vocab, w.width);
    for (const auto& [name, info] : file_.tensors()) {
      if (!seen_.contains(name)) file_.refuse(name, "is not a tensor of a corrector");
    }
    return w;
  }

 private:
  /// One extent of a tensor of `dimensions` dimensions that decides a size of the head.
  [[nodiscard]] std::int64_t extent(const std::string& name, std::size_t index,
                                    std::size_t dimensions, std::int64_t largest) const {
    const TensorInfo& info = file_.info(name);
    if (info.shape.size() != dimensions || info.shape[index] < 1 || info.shape[index] > largest) {
      file_.refuse(name, "has shape " + shape_text(info.shape));
    }
    return info.shape[index];
  }

  void read_neighbours(CorrectorWeights& w) {
    seen_.insert("neighbours");
    const std::int64_t shape[] = {extent("neighbours", 0, 1, 64)};
    w.neighbours = file_.read_integers("neighbours", shape);
    std::int32_t last = 0;
    for (const std::int32_t offset : w.neighbours) {
      if (offset <= last) file_.refuse("neighbours", "offsets are not positive and ascending");
      last = offset;
    }
  }

  [[nodiscard]] std::vector<float> floats(const std::string& name,
                                          const std::vector<std::int64_t>& shape) {
    seen_.insert(name);
    return file_.read_floats(name, shape);
  }

  [[nodiscard]] PackedLinear pack(const std::string& name, std::int64_t outputs,
                                  std::int64_t inputs) {
    const std::vector<float> weight = floats(name, {outputs, inputs});
    try {
      return PackedLinear{weight, outputs, inputs, storage_};
    } catch (const Error& error) {
      file_.refuse(name, error.what());
    }
  }

  SafetensorsFile file_;
  Storage storage_;
  std::set<std::string> seen_;
};

}  // namespace detail

inline CorrectorWeights read_corrector_weights(const std::filesystem::path& path,
                                               std::int64_t vocab, std::int64_t hidden_dim,
                                               Storage storage) {
  return detail::CorrectorReader{path, storage}.read(vocab, hidden_dim);
}

}  // namespace sjd::hosts
