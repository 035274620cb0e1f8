// SPDX-License-Identifier: Apache-2.0
#include "corrector_fit.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>
#include <utility>

#include "kernel_math.hpp"

namespace sjd::train {
namespace {

constexpr float entropy_share = 0.3F;

std::size_t size_of(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

const Bf16* bits(const torch::Tensor& tensor) {
  return static_cast<const Bf16*>(tensor.data_ptr());
}

void fill_normal(std::mt19937_64& random, float deviation, std::vector<float>& values) {
  std::normal_distribution<float> normal{0.0F, deviation};
  for (float& value : values) value = normal(random);
}

torch::Tensor rounded_tensor(const float* values, const std::vector<std::int64_t>& shape) {
  return at::from_blob(const_cast<float*>(values), shape, torch::kFloat32).to(torch::kBFloat16);
}

void read_tensor(const TensorMap& tensors, const std::string& name, float* out,
                 std::int64_t count) {
  const auto found = tensors.find(name);
  if (found == tensors.end() || found->second.numel() != count) {
    throw std::runtime_error("the corrector to start from has another " + name);
  }
  const torch::Tensor wide = found->second.to(torch::kFloat32).contiguous();
  std::memcpy(out, wide.data_ptr(), size_of(count) * sizeof(float));
}

}  // namespace

CorrectorFit::Matrix::Matrix(std::int64_t row_count, std::int64_t column_count)
    : rows{row_count},
      columns{column_count},
      weight(size_of(rows * columns)),
      first(weight.size()),
      second(weight.size()),
      rounded(weight.size()) {}

void CorrectorFit::Matrix::refresh() {
  round_to_bf16(weight, rounded);
}

CorrectorFit::CorrectorFit(CorrectorShape shape, CorrectorRegularization regularization,
                           std::int64_t batch)
    : shape_{std::move(shape)},
      regularization_{regularization},
      batch_{batch},
      input_{shape_.width, 2 * shape_.hidden_dim},
      inner_{shape_.width, shape_.width},
      projection_{shape_.width, shape_.looked_up()},
      output_{shape_.vocab, shape_.width},
      table_{shape_.table_rows(), shape_.width},
      bias_(size_of(shape_.width)),
      bias_first_(bias_.size()),
      bias_second_(bias_.size()),
      bias_gradient_(bias_.size()),
      table_gradient_(table_.weight.size()),
      last_used_(size_of(shape_.table_rows()), -1),
      rows_(size_of(batch * shape_.rows_per_example())),
      embedding_(size_of((shape_.vocab + 1) * shape_.hidden_dim)),
      looked_up_(size_of(batch * shape_.looked_up())),
      hidden_(size_of(batch * 2 * shape_.hidden_dim)),
      x_(size_of(batch * shape_.width)),
      y_(x_.size()),
      change_(size_of(batch * shape_.vocab)),
      dinner_(x_.size()),
      dsum_(x_.size()),
      u_(x_.size()),
      v_(x_.size()),
      scratch_(size_of(shape_.vocab)),
      one_hot_(size_of(shape_.vocab)) {}

void CorrectorFit::use_embeddings(MatrixView<const float> table) {
  for (std::int64_t j = 0; j < table.columns; ++j) {
    double mean = 0.0;
    double squares = 0.0;
    for (std::int64_t v = 0; v < table.rows; ++v) {
      const double value = table.row(v)[size_of(j)];
      mean += value / static_cast<double>(table.rows);
      squares += value * value / static_cast<double>(table.rows);
    }
    const double scale = 1.0 / std::sqrt(std::max(squares - mean * mean, 1e-12));
    for (std::int64_t v = 0; v < table.rows; ++v) {
      const double value = (double{table.row(v)[size_of(j)]} - mean) * scale;
      embedding_[size_of(v * table.columns + j)] = narrow(static_cast<float>(value));
    }
  }
}

void CorrectorFit::initialize(std::uint64_t seed, const CorrectorTraces& traces) {
  std::mt19937_64 random{seed};
  double squares = 0.0;
  const std::size_t sampled = std::min<std::size_t>(traces.hidden.size(), 1U << 20U);
  for (std::size_t i = 0; i < sampled; ++i) {
    squares += double{widen(traces.hidden[i])} * double{widen(traces.hidden[i])};
  }
  const auto rms = static_cast<float>(std::sqrt(squares / static_cast<double>(sampled)));
  const auto root = [](std::int64_t n) { return std::sqrt(static_cast<float>(n)); };
  fill_normal(random, 1.0F / (rms * root(2 * shape_.hidden_dim)), input_.weight);
  fill_normal(random, 1.0F / root(shape_.width), inner_.weight);
  if (regularization_.lookup) {
    fill_normal(random, 0.3F / root(shape_.hidden_dim), projection_.weight);
  } else {
    fill_normal(random, 0.3F, table_.weight);
  }
  projection_.refresh();
  input_.refresh();
  inner_.refresh();
}

void CorrectorFit::load(const TensorMap& tensors) {
  const std::int64_t width = shape_.width;
  float* table = table_.weight.data();
  read_tensor(tensors, "input.weight", input_.weight.data(), width * 2 * shape_.hidden_dim);
  read_tensor(tensors, "inner.weight", inner_.weight.data(), width * width);
  read_tensor(tensors, "inner.bias", bias_.data(), width);
  read_tensor(tensors, "output.weight", output_.weight.data(), shape_.vocab * width);
  read_tensor(tensors, "now.weight", table, shape_.before_begin() * width);
  read_tensor(tensors, "before.weight", table + shape_.before_begin() * width,
              shape_.before_begin() * width);
  read_tensor(tensors, "changed.weight", table + shape_.changed_begin() * width,
              shape_.count() * width);
  read_tensor(tensors, "distance.weight", table + shape_.distance_begin() * width,
              shape_.distances * width);
  input_.refresh();
  inner_.refresh();
  output_.refresh();
}

std::vector<float> CorrectorFit::folded_tables() const {
  std::vector<float> folded = table_.weight;
  const std::int64_t dim = shape_.hidden_dim;
  for (std::int64_t part = 0; part < 2 * shape_.count(); ++part) {
    const std::int64_t n = part / 2;  // now and before of neighbour n stand side by side
    const std::int64_t begin = (part % 2 == 0 ? 0 : shape_.before_begin()) + n * (shape_.vocab + 1);
    for (std::int64_t v = 0; v < shape_.vocab; ++v) {
      const Bf16* e = embedding_.data() + v * dim;
      for (std::int64_t j = 0; j < shape_.width; ++j) {
        const Bf16* p = projection_.rounded.data() + j * shape_.looked_up() + part * dim;
        float sum = 0.0F;
        for (std::int64_t k = 0; k < dim; ++k) sum += widen(p[k]) * widen(e[k]);
        folded[size_of((begin + v) * shape_.width + j)] += sum;
      }
    }
  }
  return folded;
}

TensorMap CorrectorFit::tensors() const {
  const std::int64_t width = shape_.width;
  const std::vector<float> folded = folded_tables();
  const float* table = folded.data();
  auto* offsets = const_cast<std::int32_t*>(shape_.neighbours.data());
  auto* bias = const_cast<float*>(bias_.data());
  const std::vector<std::int64_t> lookup{shape_.count(), shape_.vocab + 1, width};
  return {{"neighbours", at::from_blob(offsets, {shape_.count()}, torch::kInt32).clone()},
          {"input.weight", rounded_tensor(input_.weight.data(), {width, 2 * shape_.hidden_dim})},
          {"inner.weight", rounded_tensor(inner_.weight.data(), {width, width})},
          {"inner.bias", at::from_blob(bias, {width}, torch::kFloat32).clone()},
          {"output.weight", rounded_tensor(output_.weight.data(), {shape_.vocab, width})},
          {"now.weight", rounded_tensor(table, lookup)},
          {"before.weight", rounded_tensor(table + shape_.before_begin() * width, lookup)},
          {"changed.weight",
           rounded_tensor(table + shape_.changed_begin() * width, {shape_.count(), width})},
          {"distance.weight",
           rounded_tensor(table + shape_.distance_begin() * width, {shape_.distances, width})}};
}

float CorrectorFit::slot_weight(std::int64_t distance) {
  return 1.0F + 5.0F * std::exp(-0.5F * static_cast<float>(distance - 1));
}

torch::Tensor CorrectorFit::view(std::vector<Bf16>& values, std::int64_t rows,
                                 std::int64_t columns) const {
  return at::from_blob(values.data(), {rows, columns}, torch::kBFloat16);
}

void CorrectorFit::gather(const CorrectorTraces& traces, std::span<const std::int64_t> chosen) {
  const std::int64_t wide = 2 * shape_.hidden_dim;
  const std::int64_t count = shape_.count();
  std::int32_t* row = rows_.data();
  for (std::size_t e = 0; e < chosen.size(); ++e) {
    const std::int64_t from = chosen[e];
    std::memcpy(hidden_.data() + e * size_of(wide), traces.hidden.data() + from * wide,
                size_of(wide) * sizeof(Bf16));
    for (std::int64_t n = 0; n < count; ++n) {
      const std::int64_t now = traces.now[size_of(from * count + n)];
      const std::int64_t before = traces.before[size_of(from * count + n)];
      *row++ = static_cast<std::int32_t>(n * (shape_.vocab + 1) + now);
      *row++ = static_cast<std::int32_t>(shape_.before_begin() + n * (shape_.vocab + 1) + before);
      *row++ = now == before ? -1 : static_cast<std::int32_t>(shape_.changed_begin() + n);
    }
    const std::int64_t step =
        std::min<std::int64_t>(traces.distance[size_of(from)], shape_.distances);
    *row++ = static_cast<std::int32_t>(shape_.distance_begin() + step - 1);
  }
}

/// Fills looked_up_ from the table rows of gather().
void CorrectorFit::gather_embeddings(std::int64_t examples) {
  const std::int64_t dim = shape_.hidden_dim;
  Bf16* out = looked_up_.data();
  for (std::int64_t e = 0; e < examples; ++e) {
    const std::int32_t* row = rows_.data() + e * shape_.rows_per_example();
    for (std::int64_t n = 0; n < shape_.count(); ++n, row += 3) {
      const std::int64_t now = row[0] - n * (shape_.vocab + 1);
      const std::int64_t before = row[1] - shape_.before_begin() - n * (shape_.vocab + 1);
      out = std::copy_n(embedding_.data() + now * dim, dim, out);
      out = std::copy_n(embedding_.data() + before * dim, dim, out);
    }
  }
}

void CorrectorFit::forward(std::int64_t examples, Dropout dropout) {
  if (regularization_.lookup) gather_embeddings(examples);
  const std::int64_t width = shape_.width;
  const TableRows rows{rows_.data(), shape_.rows_per_example()};
  const torch::Tensor sum = at::mm(view(hidden_, examples, 2 * shape_.hidden_dim),
                                   view(input_.rounded, width, 2 * shape_.hidden_dim).t());
  const torch::Tensor tokens = at::mm(view(looked_up_, examples, shape_.looked_up()),
                                      view(projection_.rounded, width, shape_.looked_up()).t());
  add_tables(bits(sum), bits(tokens), table_.weight.data(), rows, examples, width, u_.data(),
             x_.data());
  const torch::Tensor inner =
      at::mm(view(x_, examples, width), view(inner_.rounded, width, width).t());
  residual(bits(inner), bias_.data(), u_.data(), examples, width, v_.data(), y_.data());
  drop(dropout, y_);
  const torch::Tensor change =
      at::mm(view(y_, examples, width), view(output_.rounded, shape_.vocab, width).t());
  std::memcpy(change_.data(), bits(change), size_of(examples * shape_.vocab) * sizeof(Bf16));
}

/// One token of the law, as a law of its own.
const Bf16* CorrectorFit::draw_target(const Bf16* law, std::size_t example) {
  std::mt19937 random{static_cast<std::uint32_t>(size_of(steps_ * batch_) + example)};
  std::fill(one_hot_.begin(), one_hot_.end(), Bf16{0});
  float total = 0.0F;
  for (std::int64_t v = 0; v < shape_.vocab; ++v) total += widen(law[v]);
  float left = std::uniform_real_distribution<float>{0.0F, total}(random);
  std::size_t chosen = 0;
  while (chosen + 1 < one_hot_.size() && left >= widen(law[chosen])) left -= widen(law[chosen++]);
  one_hot_[chosen] = narrow(1.0F);
  return one_hot_.data();
}

double CorrectorFit::losses(const CorrectorTraces& traces, std::span<const std::int64_t> chosen) {
  float total = 0.0F;
  for (const std::int64_t row : chosen) total += slot_weight(traces.distance[size_of(row)]);
  double variation = 0.0;
  for (std::size_t e = 0; e < chosen.size(); ++e) {
    const float weight = slot_weight(traces.distance[size_of(chosen[e])]) / total;
    const Bf16* law = traces.target.data() + chosen[e] * shape_.vocab;
    const LawLoss loss =
        law_loss(traces.logits.data() + chosen[e] * shape_.vocab,
                 regularization_.sampled ? draw_target(law, e) : law, shape_.vocab, weight,
                 entropy_share, change_.data() + e * size_of(shape_.vocab), scratch_.data());
    variation += double{weight} * double{loss.variation};
  }
  return variation;
}

void CorrectorFit::backward(std::int64_t examples, Dropout dropout) {
  const std::int64_t width = shape_.width;
  const torch::Tensor change = view(change_, examples, shape_.vocab);
  const torch::Tensor dy = at::mm(change, view(output_.rounded, shape_.vocab, width));
  drop(dropout, {static_cast<Bf16*>(dy.data_ptr()), size_of(examples * width)});
  residual_backward(bits(dy), v_.data(), examples, width, dinner_.data(), bias_gradient_.data());
  const torch::Tensor dx =
      at::mm(view(dinner_, examples, width), view(inner_.rounded, width, width));
  add_tables_backward(bits(dy), bits(dx), u_.data(), {rows_.data(), shape_.rows_per_example()},
                      examples, width, dsum_.data(), table_gradient_.data());
}

double CorrectorFit::step(const CorrectorTraces& traces, std::span<const std::int64_t> chosen,
                          float rate) {
  const at::NoGradGuard no_autograd;
  const auto examples = static_cast<std::int64_t>(chosen.size());
  const std::int64_t width = shape_.width;
  steps_ += 1;
  const Dropout dropout{regularization_.dropout, static_cast<std::uint32_t>(steps_) * 0x27d4eb2fU};
  gather(traces, chosen);
  forward(examples, dropout);
  const double variation = losses(traces, chosen);
  backward(examples, dropout);
  AdamStep adam{.rate = rate, .beta2 = 0.99F, .epsilon = 1e-12F};
  adam.correction1 = 1.0F - std::pow(adam.beta1, static_cast<float>(steps_));
  adam.correction2 = 1.0F - std::pow(adam.beta2, static_cast<float>(steps_));
  const auto update = [&](Matrix& matrix, const torch::Tensor& dy, const torch::Tensor& x) {
    const torch::Tensor gradient = at::mm(dy.t(), x);
    adam_rounded(adam, regularization_.decay, gradient.numel(), bits(gradient),
                 matrix.weight.data(), matrix.first.data(), matrix.second.data(),
                 matrix.rounded.data());
  };
  update(output_, view(change_, examples, shape_.vocab), view(y_, examples, width));
  update(inner_, view(dinner_, examples, width), view(x_, examples, width));
  update(projection_, view(dsum_, examples, width), view(looked_up_, examples, shape_.looked_up()));
  update(input_, view(dsum_, examples, width), view(hidden_, examples, 2 * shape_.hidden_dim));
  adam_row(adam, width, bias_gradient_.data(), bias_.data(), bias_first_.data(),
           bias_second_.data());
  update_table(adam, examples);
  return variation;
}

void CorrectorFit::update_table(const AdamStep& adam, std::int64_t examples) {
  const auto now = static_cast<std::int32_t>(steps_);
  const std::int64_t used = examples * shape_.rows_per_example();
  for (std::int64_t i = 0; i < used; ++i) {
    const std::int64_t row = rows_[size_of(i)];
    if (row < 0 || last_used_[size_of(row)] == now) continue;
    last_used_[size_of(row)] = now;
    const std::int64_t at = row * shape_.width;
    adam_row(adam, shape_.width, table_gradient_.data() + at, table_.weight.data() + at,
             table_.first.data() + at, table_.second.data() + at);
  }
}

void CorrectorFit::add_score(const CorrectorTraces& traces, std::span<const std::int64_t> chosen,
                             CorrectorScore& score, double& total) {
  for (std::size_t e = 0; e < chosen.size(); ++e) {
    const std::int16_t* logits = traces.logits.data() + chosen[e] * shape_.vocab;
    const Bf16* target = traces.target.data() + chosen[e] * shape_.vocab;
    Bf16* change = change_.data() + e * size_of(shape_.vocab);
    const std::size_t distance = traces.distance[size_of(chosen[e])];
    const double weight = slot_weight(static_cast<std::int64_t>(distance));
    const auto variation = [&] {
      return double{
          law_loss(logits, target, shape_.vocab, 0.0F, 0.0F, change, scratch_.data()).variation};
    };
    const double with = variation();
    std::fill_n(change, shape_.vocab, Bf16{0});
    const double without = variation();
    score.with[distance] += with;
    score.without[distance] += without;
    score.rows[distance] += 1;
    score.with[0] += weight * with;
    score.without[0] += weight * without;
    total += weight;
  }
}

CorrectorScore CorrectorFit::score(const CorrectorTraces& traces, std::int64_t most_rows) {
  const at::NoGradGuard no_autograd;
  constexpr std::size_t size = TraceModel::farthest + 1;
  CorrectorScore score{std::vector<double>(size), std::vector<double>(size),
                       std::vector<std::int64_t>(size)};
  std::vector<std::int64_t> chosen;
  double total = 0.0;
  const std::int64_t stride = std::max<std::int64_t>(1, traces.rows() / most_rows);
  for (std::int64_t begin = 0; begin < traces.rows(); begin += batch_ * stride) {
    chosen.clear();
    const std::int64_t end = std::min(traces.rows(), begin + batch_ * stride);
    for (std::int64_t row = begin; row < end; row += stride) chosen.push_back(row);
    gather(traces, chosen);
    forward(static_cast<std::int64_t>(chosen.size()), {});
    add_score(traces, chosen, score, total);
  }
  for (std::size_t d = 0; d < size; ++d) {
    const double count = d == 0 ? total : static_cast<double>(score.rows[d]);
    score.with[d] /= std::max(count, 1e-9);
    score.without[d] /= std::max(count, 1e-9);
  }
  return score;
}

}  // namespace sjd::train
