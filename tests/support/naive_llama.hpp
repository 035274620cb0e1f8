// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/random_checkpoint.hpp"

namespace sjd::test {

/// One input of the naive model: a word, the begin-of-image token, a clean token or a fed vector.
struct NaiveInput {
  std::int64_t word = -1;         ///< text id, at words and at the begin-of-image token
  std::int64_t image_index = -1;  ///< row of image_position; -1 for words
  std::int64_t token = -1;        ///< image token at level 0
  std::int64_t level = 0;
  std::vector<float> fed{};  ///< [hidden] at level > 0
};

/// docs/checkpoint.md written down once more: double precision, whole sequences, no cache, no
/// blocking.
class NaiveLlama {
 public:
  using Row = std::vector<double>;

  NaiveLlama(hosts::LlamaConfig config, TestTensors tensors) : c_{config}, t_{std::move(tensors)} {}

  /// Logits of every row [inputs, image_vocab_size].
  [[nodiscard]] std::vector<Row> logits(const std::vector<NaiveInput>& inputs) const {
    std::vector<Row> h;
    for (const NaiveInput& input : inputs) h.push_back(embed(input));
    for (std::int64_t i = 0; i < c_.layers; ++i) {
      const std::string layer = "layers." + std::to_string(i) + ".";
      attention(layer, h);
      for (Row& row : h) {
        const Row m = norm(row, layer + "post_norm.weight");
        Row gate = linear(m, layer + "mlp.gate.weight");
        const Row up = linear(m, layer + "mlp.up.weight");
        for (std::size_t j = 0; j < gate.size(); ++j) {
          gate[j] = gate[j] / (1.0 + std::exp(-gate[j])) * up[j];
        }
        add(row, linear(gate, layer + "mlp.down.weight"));
      }
    }
    for (Row& row : h) row = linear(norm(row, "norm.weight"), "image_head.weight");
    return h;
  }

 private:
  [[nodiscard]] Row table_row(const std::string& name, std::int64_t index) const {
    const auto& values = t_.at(name).values;
    const auto begin = values.begin() + index * c_.hidden_size;
    return {begin, begin + c_.hidden_size};
  }

  static void add(Row& row, const Row& other) {
    for (std::size_t i = 0; i < row.size(); ++i) row[i] += other[i];
  }

  [[nodiscard]] Row embed(const NaiveInput& input) const {
    Row h;
    if (input.word >= 0) {
      h = table_row("text_embedding.weight", input.word);
    } else if (input.level == 0) {
      h = table_row("image_embedding.weight", input.token);
    } else {
      h.assign(input.fed.begin(), input.fed.end());
      add(h, table_row("level_embedding.weight", input.level - 1));
    }
    if (input.image_index >= 0) add(h, table_row("image_position.weight", input.image_index));
    return h;
  }

  [[nodiscard]] Row norm(const Row& x, const std::string& name) const {
    double squares = 0.0;
    for (const double value : x) squares += value * value;
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(x.size()) +
                                          static_cast<double>(c_.rms_norm_eps));
    Row y = x;
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] *= factor * static_cast<double>(t_.at(name).values[i]);
    }
    return y;
  }

  [[nodiscard]] Row linear(const Row& x, const std::string& name) const {
    const TestTensor& weight = t_.at(name);
    Row y(static_cast<std::size_t>(weight.shape[0]), 0.0);
    for (std::size_t out = 0; out < y.size(); ++out) {
      for (std::size_t in = 0; in < x.size(); ++in) {
        y[out] += x[in] * static_cast<double>(weight.values[out * x.size() + in]);
      }
    }
    return y;
  }

  /// Head `head` of a row, normed if asked for and rotated as a pair of halves.
  [[nodiscard]] Row rotated_head(const Row& row, std::int64_t head, std::int64_t position,
                                 const std::string& norm_name) const {
    const auto begin = row.begin() + head * c_.head_dim;
    Row x(begin, begin + c_.head_dim);
    if (c_.qk_norm) x = norm(x, norm_name);
    Row y = x;
    const auto half = static_cast<std::size_t>(c_.head_dim / 2);
    for (std::size_t j = 0; j < half; ++j) {
      const double angle =
          static_cast<double>(position) *
          std::pow(c_.rope_theta, -2.0 * static_cast<double>(j) / static_cast<double>(2 * half));
      y[j] = x[j] * std::cos(angle) - x[j + half] * std::sin(angle);
      y[j + half] = x[j + half] * std::cos(angle) + x[j] * std::sin(angle);
    }
    return y;
  }

  void attention(const std::string& layer, std::vector<Row>& h) const {
    const auto dim = static_cast<std::size_t>(c_.head_dim);
    std::vector<Row> q, k, v;
    for (const Row& row : h) {
      const Row a = norm(row, layer + "input_norm.weight");
      q.push_back(linear(a, layer + "attention.q.weight"));
      k.push_back(linear(a, layer + "attention.k.weight"));
      v.push_back(linear(a, layer + "attention.v.weight"));
    }
    std::vector<Row> mixed(h.size());
    for (std::int64_t head = 0; head < c_.heads; ++head) {
      const std::int64_t kv = head / (c_.heads / c_.kv_heads);
      for (std::size_t i = 0; i < h.size(); ++i) {
        const Row query = rotated_head(q[i], head, static_cast<std::int64_t>(i),
                                       layer + "attention.q_norm.weight");
        Row out(dim, 0.0);
        double sum = 0.0;
        for (std::size_t j = 0; j <= i; ++j) {
          const Row key = rotated_head(k[j], kv, static_cast<std::int64_t>(j),
                                       layer + "attention.k_norm.weight");
          double score = 0.0;
          for (std::size_t d = 0; d < dim; ++d) score += query[d] * key[d];
          const double weight = std::exp(score / std::sqrt(static_cast<double>(dim)));
          sum += weight;
          for (std::size_t d = 0; d < dim; ++d) {
            out[d] += weight * v[j][static_cast<std::size_t>(kv) * dim + d];
          }
        }
        for (const double value : out) mixed[i].push_back(value / sum);
      }
    }
    for (std::size_t i = 0; i < h.size(); ++i) {
      add(h[i], linear(mixed[i], layer + "attention.o.weight"));
    }
  }

  hosts::LlamaConfig c_;
  TestTensors t_;
};

}  // namespace sjd::test
