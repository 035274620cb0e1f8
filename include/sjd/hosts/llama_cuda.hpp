// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/cuda/device_pass.hpp"
#include "sjd/hosts/llama_backend.hpp"
#include "sjd/hosts/llama_book.hpp"
#include "sjd/hosts/llama_config.hpp"
#include "sjd/hosts/llama_cuda_engine.hpp"
#include "sjd/hosts/llama_cuda_weights.hpp"
#include "sjd/model.hpp"

namespace sjd::hosts {

class CorrectorHead;

/// The reference host on a device: the model of docs/checkpoint.md with weights, activations and
/// cache in `Number` (float or cuda::Bf16), sums and the residual stream in fp32.
///
/// A TokenModel, NoisyModel and HiddenModel in device memory for the denoisers, and a
/// cuda::DeviceModel for a decode that never leaves the device. Backend: CudaBackend
/// (llama_cuda.cuh) or, without a device, HostBackend. Unlike LlamaHost it is not row-invariant:
/// tokens identical to AR's are not promised.
///
/// memory  borrows the backend; weights, keys and values of all slots, activations
/// errors  of prefill and forward: thrown before anything changed
/// threads one thread at a time
template <class Backend, StoredNumber Number>
class LlamaCuda {
 public:
  using Memory = DeviceMemory;
  using Prompt = std::vector<std::int32_t>;  ///< as LlamaHost::Prompt
  using Launcher = typename Backend::Launcher;

  static constexpr std::int32_t max_branches = LlamaBook::max_branches;

  /// Reads config.json and one weights file of a model directory.
  ///
  /// errors  bad_file and io from the readers, also for a weight that is no `Number`;
  ///         invalid_argument for a size or head_dim that cannot be served
  LlamaCuda(Backend& backend, const std::filesystem::path& directory,
            const std::string& weights_file, LlamaCudaSize size = {})
      : LlamaCuda{backend, read_llama_config(directory / "config.json"), size,
                  [&](const LlamaConfig& config, DeviceArrays<Backend>& arrays) {
                    return read_llama_cuda_weights<Number>(directory / weights_file, config,
                                                           backend, arrays);
                  }} {}

  /// Random weights of a shape; see random_llama_cuda_weights.
  LlamaCuda(Backend& backend, const LlamaConfig& shape, std::uint64_t seed, LlamaCudaSize size = {})
      : LlamaCuda{backend, shape, size,
                  [&](const LlamaConfig& config, DeviceArrays<Backend>& arrays) {
                    return random_llama_cuda_weights<Number>(config, seed, backend, arrays);
                  }} {}

  LlamaCuda(const LlamaCuda&) = delete;
  LlamaCuda& operator=(const LlamaCuda&) = delete;
  ~LlamaCuda() = default;

  [[nodiscard]] const LlamaConfig& config() const noexcept { return config_; }
  [[nodiscard]] std::int64_t vocab_size() const { return config_.image_vocab_size; }
  [[nodiscard]] std::int64_t max_sequences() const { return book_.max_sequences(); }
  [[nodiscard]] std::int64_t hidden_dim() const { return config_.hidden_size; }
  [[nodiscard]] bool accepts_noise() const { return weights_.noisy(); }

  [[nodiscard]] bool has_corrector() const noexcept { return corrector_ != nullptr; }
  /// Takes the corrector head of these weights (CorrectorHead::load), or none. One with fp32
  /// storage has the bits of cuda::DeviceHead.
  void set_corrector(std::shared_ptr<CorrectorHead> head) { corrector_ = std::move(head); }
  /// The corrector head, which a denoiser runs on the CPU.
  ///
  /// errors  contract if there is none
  [[nodiscard]] CorrectorHead& corrector_head() {
    expects(has_corrector(), ErrorCode::contract,
            "LlamaCuda: no corrector head was set; call set_corrector, or decode without "
            "HeadCorrector");
    return *corrector_;
  }

  /// Image rows of the input embedding [vocab_size, hidden_size], host memory.
  [[nodiscard]] MatrixView<const float> embedding_table() const {
    return {weights_.image_rows.data(), vocab_size(), config_.hidden_size};
  }
  /// What the weights were trained on.
  ///
  /// errors  contract if they were trained without noise
  [[nodiscard]] NoiseContract noise_contract() const { return book_.noise_contract(weights_); }

  [[nodiscard]] void* allocate(std::size_t bytes) { return backend_.allocate(bytes); }
  void deallocate(void* device) { backend_.deallocate(device); }
  void upload(void* device, const void* host, std::size_t bytes) {
    backend_.upload(device, host, bytes);
  }
  void download(void* host, const void* device, std::size_t bytes) {
    backend_.download(host, device, bytes);
  }

  /// As LlamaHost::prefill.
  void prefill(std::int32_t sequence, const Prompt& prompt,
               MatrixView<float, DeviceMemory> logits) {
    book_.check_prefill(sequence, prompt, logits);
    book_.forget(sequence);
    const auto words = static_cast<std::int64_t>(prompt.size());
    for (std::int32_t branch = 0; branch < max_branches; ++branch) {
      const std::int64_t own = branch == 0 ? words : 0;
      const bool there = branch < logits.rows;
      engine_.set_prompt_rows(LlamaBook::slot(sequence, branch), there ? own + 1 : 0);
      if (there) run_prompt({sequence, branch}, prompt, own, logits);
    }
    book_.note_prefill(sequence, words, logits.rows);
  }

  /// As LlamaHost::forward. A fed embedding that is not finite makes the logits of its row NaN.
  void forward(const ForwardPass<DeviceMemory>& pass) {
    book_.check_pass(pass);
    book_.note_pass(pass);
    const auto count = static_cast<std::int64_t>(pass.rows.size());
    for (std::int64_t first = 0; first < count;) first = run_image_rows(pass, first);
  }

  /// One pass whose rows a kernel wrote; see cuda::DeviceModel. Sequences are those of the batch,
  /// prefilled before. What `forward` checks, this pass says in its outputs: the logits of a row
  /// that the model cannot take are NaN and its cache stays as it is. Logits of absent rows become
  /// those of a zero row.
  ///
  /// errors  contract if the extents are larger than the size of this model, before the first
  ///         launch
  template <class Logit>
  void enqueue(Launcher& launcher, const cuda::DevicePass<Logit>& pass) {
    static_assert(std::is_same_v<Logit, float> || std::is_same_v<Logit, Number>,
                  "LlamaCuda: logits are floats or of the type of the weights");
    const std::int64_t count = pass.sequences * pass.branches * pass.rows;
    expects(pass.sequences >= 1 && pass.sequences <= max_sequences() && pass.branches >= 1 &&
                pass.branches <= max_branches && pass.rows >= 1 && count <= engine_.most_rows(),
            ErrorCode::contract, "LlamaCuda::enqueue: the pass is larger than this model's size");
    expects(pass.logits.rows >= count && pass.logits.columns == vocab_size() &&
                pass.logits.stride >= vocab_size(),
            ErrorCode::contract, "LlamaCuda::enqueue: the logits are not [rows, vocab_size]");
    book_.note_unseen_passes();
    LlamaCudaRows rows{pass.input, pass.sequences * pass.branches, pass.rows};
    rows.fed = {pass.embeddings, pass.sequences * pass.rows, hidden_dim()};
    engine_.run(launcher, rows);
    engine_.logits(launcher, count, nullptr, pass.logits,
                   {pass.hidden, pass.hidden == nullptr ? 0 : count, hidden_dim()});
  }

 private:
  struct Place {
    std::int32_t sequence = 0;
    std::int32_t branch = 0;
  };

  template <class Reader>
  LlamaCuda(Backend& backend, LlamaConfig config, LlamaCudaSize size, Reader&& reader)
      : backend_{backend},
        config_{std::move(config)},
        arrays_{backend},
        weights_{reader(config_, arrays_)},
        book_{config_, weights_.noisy(), size.sequences, "LlamaCuda"},
        engine_{backend, config_, weights_, size},
        input_{arrays_.template make<InputRow>(engine_.most_rows())},
        gather_{arrays_.template make<std::int32_t>(engine_.most_rows())} {}

  /// Words stand at image positions -words - 1 .. -2, <image> at -1.
  void run_prompt(Place place, const Prompt& prompt, std::int64_t words,
                  const MatrixView<float, DeviceMemory>& logits) {
    for (std::int64_t first = 0; first <= words; first += engine_.size().rows) {
      const std::int64_t end = std::min(words + 1, first + engine_.size().rows);
      rows_.clear();
      for (std::int64_t i = first; i < end; ++i) {
        const std::int32_t id =
            i < words ? prompt[static_cast<std::size_t>(i)] : LlamaBook::image_word;
        rows_.push_back({place.sequence, place.branch, i - words - 1, id, 0, -1});
      }
      send(input_, rows_);
      engine_.run(backend_.launcher(), {input_, 1, end - first, true, {}});
      if (end <= words) continue;
      order_.assign(1, static_cast<std::int32_t>(end - first - 1));
      send(gather_, order_);
      engine_.logits(backend_.launcher(), 1, gather_,
                     MatrixView<float, DeviceMemory>{logits.data + place.branch * logits.stride, 1,
                                                     logits.columns, logits.stride},
                     {});
    }
  }

  /// Rows of a pass from `first` on that one run can take; returns the first one behind them.
  [[nodiscard]] std::int64_t rows_of_run(const ForwardPass<DeviceMemory>& pass,
                                         std::int64_t first) {
    const auto count = static_cast<std::int64_t>(pass.rows.size());
    blocks_.clear();
    while (first < count && static_cast<std::int64_t>(blocks_.size()) < engine_.most_groups()) {
      const InputRow& head = pass.rows[static_cast<std::size_t>(first)];
      std::int64_t end = first;
      while (end < count && end - first < engine_.size().rows) {
        const InputRow& row = pass.rows[static_cast<std::size_t>(end)];
        if (row.sequence != head.sequence || row.branch != head.branch) break;
        ++end;
      }
      // The rest of a cut block needs the keys of its first part.
      if (!blocks_.empty() && blocks_.back().sequence == head.sequence &&
          blocks_.back().branch == head.branch) {
        return first;
      }
      blocks_.push_back({head.sequence, head.branch, first, end});
      first = end;
    }
    return first;
  }

  /// Lays the rows out as groups of one length, absent rows behind the shorter ones.
  std::int64_t run_image_rows(const ForwardPass<DeviceMemory>& pass, std::int64_t first) {
    const std::int64_t end = rows_of_run(pass, first);
    std::int64_t longest = 0;
    for (const Block& block : blocks_) longest = std::max(longest, block.end - block.first);
    const auto groups = static_cast<std::int64_t>(blocks_.size());
    InputRow absent;
    absent.sequence = -1;
    rows_.assign(static_cast<std::size_t>(groups * longest), absent);
    order_.clear();
    for (std::int64_t g = 0; g < groups; ++g) {
      const Block& block = blocks_[static_cast<std::size_t>(g)];
      for (std::int64_t i = block.first; i < block.end; ++i) {
        const std::int64_t at = g * longest + i - block.first;
        rows_[static_cast<std::size_t>(at)] = pass.rows[static_cast<std::size_t>(i)];
        order_.push_back(static_cast<std::int32_t>(at));
      }
    }
    send(input_, rows_);
    send(gather_, order_);
    engine_.run(backend_.launcher(), {input_, groups, longest, false, pass.embeddings});
    MatrixView<float, DeviceMemory> logits = pass.logits;
    MatrixView<float, DeviceMemory> hidden = pass.hidden;
    logits.data += first * logits.stride;
    if (hidden.data != nullptr) hidden.data += first * hidden.stride;
    engine_.logits(backend_.launcher(), end - first, gather_, logits, hidden);
    return end;
  }

  template <class T>
  void send(T* to, const std::vector<T>& from) {
    backend_.upload(to, from.data(), from.size() * sizeof(T));
  }

  struct Block {
    std::int32_t sequence = 0;
    std::int32_t branch = 0;
    std::int64_t first = 0;  // rows of the pass
    std::int64_t end = 0;
  };

  Backend& backend_;
  LlamaConfig config_;
  DeviceArrays<Backend> arrays_;
  LlamaCudaWeights<Number> weights_;
  LlamaBook book_;
  LlamaCudaEngine<Backend, Number> engine_;
  std::shared_ptr<CorrectorHead> corrector_;
  InputRow* input_;                  // [most_rows], of forward and prefill
  std::int32_t* gather_;             // [most_rows], of forward and prefill
  std::vector<InputRow> rows_;       // of one run
  std::vector<std::int32_t> order_;  // of one run
  std::vector<Block> blocks_;        // of one run
};

}  // namespace sjd::hosts
