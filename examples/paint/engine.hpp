// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <sjd/core/error.hpp>
#include <sjd/core/matrix_view.hpp>
#include <sjd/hosts/llama_config.hpp>
#include <sjd/model.hpp>
#include <utility>
#include <vector>

namespace sjd::hosts {
class CorrectorHead;
}

namespace sjd::paint {

/// The loaded model, a HostMemory model whose machine is chosen at run time; see LlamaHost.
class Engine {
 public:
  using Memory = HostMemory;
  using Prompt = std::vector<std::int32_t>;

  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  [[nodiscard]] virtual const hosts::LlamaConfig& config() const = 0;
  [[nodiscard]] virtual std::int64_t max_sequences() const = 0;
  [[nodiscard]] virtual bool accepts_noise() const = 0;
  [[nodiscard]] virtual MatrixView<const float> embedding_table() const = 0;
  [[nodiscard]] virtual NoiseContract noise_contract() const = 0;
  /// The bits of a row depend on its own prefix alone: what equals AR bit for bit needs that.
  [[nodiscard]] virtual bool row_invariant() const = 0;
  virtual void prefill(std::int32_t sequence, const Prompt& prompt, MatrixView<float> logits) = 0;
  virtual void forward(const ForwardPass<>& pass) = 0;

  [[nodiscard]] std::int64_t vocab_size() const { return config().image_vocab_size; }
  [[nodiscard]] std::int64_t hidden_dim() const { return config().hidden_size; }

  [[nodiscard]] bool has_corrector() const { return corrector_ != nullptr; }
  void set_corrector(std::shared_ptr<hosts::CorrectorHead> head) { corrector_ = std::move(head); }
  /// errors  contract if there is none
  [[nodiscard]] hosts::CorrectorHead& corrector_head() {
    expects(has_corrector(), ErrorCode::contract, "no corrector head was loaded");
    return *corrector_;
  }

 private:
  std::shared_ptr<hosts::CorrectorHead> corrector_;
};

}  // namespace sjd::paint
