// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <sjd/core/staging.hpp>
#include <sjd/hosts/llama_cuda.hpp>
#include <string>

#include "engine.hpp"

namespace sjd::paint {

/// The device host with its inputs and outputs copied over.
template <class Backend, cuda::StoredNumber Number>
class StagedEngine final : public Engine {
  using Model = hosts::LlamaCuda<Backend, Number>;
  using Buffer = sjd::detail::StagedBuffer<Model>;

 public:
  /// Passes of more rows than 64 a sequence and branch are cut, which costs time and changes
  /// nothing.
  StagedEngine(const std::filesystem::path& directory, const std::string& weights_file,
               std::int64_t sequences)
      : model_{backend_, directory, weights_file, {.sequences = sequences, .rows = 64}},
        logits_{model_},
        hidden_{model_},
        embeddings_{model_} {}

  const hosts::LlamaConfig& config() const override { return model_.config(); }
  std::int64_t max_sequences() const override { return model_.max_sequences(); }
  bool accepts_noise() const override { return model_.accepts_noise(); }
  MatrixView<const float> embedding_table() const override { return model_.embedding_table(); }
  NoiseContract noise_contract() const override { return model_.noise_contract(); }
  bool row_invariant() const override { return false; }

  void prefill(std::int32_t sequence, const Prompt& prompt, MatrixView<float> logits) override {
    logits_.reshape(logits.rows, logits.columns);
    model_.prefill(sequence, prompt, logits_.on_model());
    logits_.download();
    copy(logits_.host(), logits, logits.rows);
  }

  void forward(const ForwardPass<>& pass) override {
    const auto rows = static_cast<std::int64_t>(pass.rows.size());
    logits_.reshape(rows, pass.logits.columns);
    embeddings_.reshape(pass.embeddings.rows, pass.embeddings.columns);
    copy(pass.embeddings, embeddings_.host(), pass.embeddings.rows);
    embeddings_.upload();
    ForwardPass<DeviceMemory> there{pass.keep_length, pass.rows, embeddings_.on_model(),
                                    logits_.on_model()};
    if (pass.hidden.data != nullptr) {
      hidden_.reshape(rows, pass.hidden.columns);
      there.hidden = hidden_.on_model();
    }
    model_.forward(there);
    logits_.download();
    copy(logits_.host(), pass.logits, rows);
    if (pass.hidden.data == nullptr) return;
    hidden_.download();
    copy(hidden_.host(), pass.hidden, rows);
  }

 private:
  static void copy(const MatrixView<const float>& from, const MatrixView<float>& to,
                   std::int64_t rows) {
    for (std::int64_t i = 0; i < rows; ++i) {
      std::copy_n(from.data + i * from.stride, from.columns, to.data + i * to.stride);
    }
  }

  Backend backend_;
  Model model_;
  Buffer logits_;
  Buffer hidden_;
  Buffer embeddings_;
};

}  // namespace sjd::paint
