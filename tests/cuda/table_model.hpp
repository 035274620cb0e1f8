// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "sjd/cuda/decode_device.hpp"
#include "sjd/cuda/device_pass.hpp"
#include "support/table_law.hpp"

namespace sjd::test {

/// What the table kernel works on.
///
/// shapes  begins [sequences, branches]; contexts [sequences, branches, most_tokens + 1]
struct TableArguments {
  cuda::DevicePass<float> pass{};
  TableRule rule{};
  const std::uint64_t* begins = nullptr;
  std::uint64_t* contexts = nullptr;
  std::int64_t most_tokens = 0;
  std::int64_t hidden_dim = 0;
  Position spoiled = -1;  ///< the row that predicts this position holds a NaN
};

struct TableShared {
  std::int32_t rows;  // that are there
  Position first;
};

/// The table law as a kernel: a block runs the rows of one sequence and branch behind its cache.
struct TableKernel {
  using Shared = TableShared;
  using Arguments = TableArguments;
  using Here = cuda::Thread<Shared>;

  template <class Block>
  SJD_DEVICE static void run(Block& block, const Arguments& a) {
    const std::int64_t cache = block.cluster();
    block.phase([&a, cache](const Here& t) {
      if (t.index == 0) extend(a, cache, *t.shared);
    });
    block.phase([&a, cache](const Here& t) { write(a, cache, t); });
  }

 private:
  SJD_DEVICE static void extend(const Arguments& a, std::int64_t cache, Shared& s) {
    const InputRow* input = a.pass.input + cache * a.pass.rows;
    std::uint64_t* contexts = a.contexts + cache * (a.most_tokens + 1);
    s.rows = 0;
    s.first = input[0].position;
    for (std::int64_t i = 0; i < a.pass.rows && input[i].sequence >= 0; ++i) {
      const InputRow& row = input[i];
      // A token that nobody should have fed makes another law.
      auto symbol = static_cast<Symbol>(row.token);
      if (row.level > 0) {
        symbol =
            a.rule.noisy_symbol(row.level, a.pass.embeddings + row.embedding * a.rule.options.dim);
      }
      const Position p = row.position;
      const bool follows = p == s.first + i;
      const std::uint64_t before = p == 0 ? a.begins[cache] : contexts[p - 1];
      contexts[p] = follows ? TableRule::extend(before, symbol) : 0;
      contexts[p + 1] = 0xDEADDEADDEADDEADU;
      s.rows += 1;
    }
  }

  SJD_DEVICE static void write(const Arguments& a, std::int64_t cache, const Here& t) {
    const std::int64_t vocab = a.pass.logits.columns;
    for (std::int64_t i = 0; i < t.shared->rows; ++i) {
      const std::uint64_t context = a.contexts[cache * (a.most_tokens + 1) + t.shared->first + i];
      const std::int64_t row = cache * a.pass.rows + i;
      const bool spoilt = t.shared->first + i + 1 == a.spoiled;
      for (std::int64_t v = t.index; v < vocab; v += t.count) {
        a.pass.logits.data[row * vocab + v] =
            spoilt ? std::numeric_limits<float>::quiet_NaN()
                   : a.rule.logit(context, static_cast<std::uint64_t>(v));
      }
      for (std::int64_t k = t.index; a.pass.hidden != nullptr && k < a.hidden_dim; k += t.count) {
        a.pass.hidden[row * a.hidden_dim + k] =
            TableRule::hidden(context, static_cast<std::uint64_t>(k));
      }
    }
  }
};

/// The table host in device memory: a cuda::DeviceModel, its cache a line of contexts.
template <cuda::DecodeDevice Device>
class TableModel {
 public:
  TableModel(Device& device, const TableOptions& options, std::int64_t branches,
             std::int64_t most_tokens, std::int64_t hidden_dim)
      : rule_{options},
        branches_{branches},
        most_tokens_{most_tokens},
        hidden_dim_{hidden_dim},
        begins_{device, options.sequences * branches},
        contexts_{device, options.sequences * branches * (most_tokens + 1)} {}

  [[nodiscard]] std::int64_t vocab_size() const { return rule_.options.vocab; }

  /// What a prefill leaves: the context of every branch in front of the picture.
  void begin(std::int64_t sequence, std::span<const std::uint64_t> contexts) {
    begins_.write(sequence * branches_, contexts);
  }

  template <class Launcher>
  void enqueue(Launcher& launcher, const cuda::DevicePass<float>& pass) {
    launcher.template launch<TableKernel>(
        cuda::Geometry{pass.sequences * pass.branches, 1, 32, 0},
        {pass, rule_, begins_.data(), contexts_.data(), most_tokens_, hidden_dim_, spoiled});
  }

  Position spoiled = -1;  ///< whose law is bad, in graphs that are captured from now on

 private:
  TableRule rule_;
  std::int64_t branches_;
  std::int64_t most_tokens_;
  std::int64_t hidden_dim_;
  cuda::DeviceArray<std::uint64_t, Device> begins_;
  cuda::DeviceArray<std::uint64_t, Device> contexts_;
};

}  // namespace sjd::test
