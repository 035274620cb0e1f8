// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sjd/hosts/llama.hpp"
#include "sjd/model.hpp"

namespace tests {

/// A host with a change that decoding must not notice, or must.
class ChangedHost {
 public:
  using Memory = sjd::HostMemory;
  using Prompt = sjd::hosts::LlamaHost::Prompt;

  explicit ChangedHost(sjd::hosts::LlamaHost& host) : host_{&host} {}

  std::int64_t padding = 0;  ///< tokens behind the vocabulary
  float pad_logit = 0.0F;    ///< their logit
  float batch_noise = 0.0F;  ///< moves logits with the number of rows in the pass

  [[nodiscard]] std::int64_t vocab_size() const { return host_->vocab_size() + padding; }
  [[nodiscard]] std::int64_t max_sequences() const { return host_->max_sequences(); }

  void prefill(std::int32_t sequence, const Prompt& prompt, sjd::MatrixView<float> logits) {
    host_->prefill(sequence, prompt, inner(logits.rows));
    copy(logits);
  }

  void forward(const sjd::ForwardPass<>& pass) {
    sjd::ForwardPass<> same = pass;
    same.logits = inner(pass.logits.rows);
    host_->forward(same);
    copy(pass.logits);
    // A sum that is split by the size of the batch is off by a little, differently for each size.
    const auto size = static_cast<float>(pass.rows.size() % 7);
    for (std::int64_t r = 0; r < pass.logits.rows; ++r) {
      for (std::int64_t v = 0; v < host_->vocab_size(); v += 3) {
        pass.logits.row(r)[static_cast<std::size_t>(v)] += size * batch_noise;
      }
    }
  }

 private:
  sjd::MatrixView<float> inner(std::int64_t rows) {
    logits_.resize(static_cast<std::size_t>(rows * host_->vocab_size()));
    return {logits_.data(), rows, host_->vocab_size()};
  }

  void copy(sjd::MatrixView<float> logits) const {
    const std::int64_t vocab = host_->vocab_size();
    for (std::int64_t r = 0; r < logits.rows; ++r) {
      const auto row = logits.row(r);
      std::copy_n(logits_.data() + r * vocab, vocab, row.begin());
      std::fill(row.begin() + vocab, row.end(), pad_logit);
    }
  }

  sjd::hosts::LlamaHost* host_;
  std::vector<float> logits_;
};

}  // namespace tests
