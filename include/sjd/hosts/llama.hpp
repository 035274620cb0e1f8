// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/hosts/corrector_head.hpp"
#include "sjd/hosts/llama_book.hpp"
#include "sjd/hosts/llama_config.hpp"
#include "sjd/hosts/llama_engine.hpp"
#include "sjd/hosts/llama_weights.hpp"
#include "sjd/hosts/word_tokenizer.hpp"
#include "sjd/model.hpp"

namespace sjd::hosts {

struct LlamaOptions {
  std::int64_t max_sequences = 1;  ///< sequences that one pass may carry
  int threads = 1;                 ///< the caller included
  Storage storage = Storage::bf16;
  InstructionSet instruction_set = best_instruction_set();  ///< changes the speed, never a bit
  std::string corrector{};  ///< corrector head that belongs to the weights file; empty = none
};

/// The reference host: a LLaMA-family image model on the CPU (docs/checkpoint.md), row-invariant,
/// for the decoders and for the autoregressive baseline alike.
///
/// memory  weights, and about 0.9 MB of keys and values per sequence and branch for the
///         shipped model in bf16
/// errors  of prefill and forward: thrown before anything changed
class LlamaHost {
 public:
  using Memory = HostMemory;
  /// Word ids without the begin-of-image token, which the host appends; the unconditional branch is
  /// that token alone.
  using Prompt = std::vector<std::int32_t>;

  static constexpr std::int32_t max_branches = LlamaBook::max_branches;

  /// Reads config.json and one weights file ("base.safetensors", "sjd2.safetensors") of a model
  /// directory.
  ///
  /// errors  bad_file and io from the readers; invalid_argument for an option that this
  ///         machine cannot serve
  [[nodiscard]] static LlamaHost load(const std::filesystem::path& directory,
                                      const std::string& weights_file, LlamaOptions options = {}) {
    expects(supported(options.instruction_set), ErrorCode::invalid_argument,
            "LlamaHost: this machine does not run the instruction set that was asked for");
    auto model = std::make_unique<Model>();
    model->config = read_llama_config(directory / "config.json");
    model->weights = read_llama_weights(directory / weights_file, model->config, options.storage);
    LlamaHost host{std::move(model), options};
    if (!options.corrector.empty()) {
      host.load_corrector(directory / options.corrector, options.storage, options.instruction_set);
    }
    return host;
  }

  /// Reads a corrector head that was trained for these weights; replaces the one that is there.
  ///
  /// errors  bad_file and io from the reader
  void load_corrector(const std::filesystem::path& path, Storage storage = Storage::bf16,
                      InstructionSet instruction_set = best_instruction_set()) {
    corrector_.emplace(
        CorrectorHead::load(path, vocab_size(), hidden_dim(), storage, instruction_set));
  }

  [[nodiscard]] const LlamaConfig& config() const noexcept { return model_->config; }
  [[nodiscard]] std::int64_t vocab_size() const { return config().image_vocab_size; }
  [[nodiscard]] std::int64_t max_sequences() const { return book_.max_sequences(); }
  /// Whether the weights know noise levels.
  [[nodiscard]] bool accepts_noise() const { return model_->weights.noisy(); }

  /// Columns of ForwardPass::hidden: the rows behind the final norm, which the image head reads.
  [[nodiscard]] std::int64_t hidden_dim() const { return config().hidden_size; }

  [[nodiscard]] bool has_corrector() const noexcept { return corrector_.has_value(); }

  /// The corrector head of these weights.
  ///
  /// errors  contract if none was loaded
  [[nodiscard]] CorrectorHead& corrector_head() {
    expects(corrector_.has_value(), ErrorCode::contract,
            "LlamaHost: no corrector head was loaded; set LlamaOptions::corrector, or decode "
            "without HeadCorrector");
    return *corrector_;
  }

  /// Image rows of the input embedding [vocab_size, hidden_size].
  [[nodiscard]] MatrixView<const float> embedding_table() const {
    return {model_->weights.image_embedding.data(), vocab_size(), config().hidden_size};
  }

  /// What the weights were trained on.
  ///
  /// errors  contract if they were trained without noise
  [[nodiscard]] NoiseContract noise_contract() const {
    return book_.noise_contract(model_->weights);
  }

  /// Forgets the sequence, runs its prompt in one branch per row of `logits` and writes the logits
  /// of image position 0.
  ///
  /// shapes  logits [branches, vocab_size], 1 or 2 branches; branch 0 has the prompt, branch 1 is
  ///         unconditional
  /// edge    an empty prompt is allowed
  /// errors  invalid_argument for a prompt, contract for a view that the host cannot serve
  void prefill(std::int32_t sequence, const Prompt& prompt, MatrixView<float> logits) {
    book_.check_prefill(sequence, prompt, logits);
    book_.forget(sequence);
    run_prompt(sequence, prompt, logits);
    book_.note_prefill(sequence, static_cast<std::int64_t>(prompt.size()), logits.rows);
  }

  /// One pass of the model; see ForwardPass. Every branch of `rows` has an entry in `keep_length`,
  /// and an image position lies in [0, image tokens - 2]: the last token predicts nothing.
  ///
  /// errors  contract, naming sequence, branch and position
  void forward(const ForwardPass<>& pass) {
    book_.check_pass(pass);
    book_.note_pass(pass);
    const auto count = static_cast<std::int64_t>(pass.rows.size());
    const std::int64_t runs = (count + LlamaEngine::rows_per_run - 1) / LlamaEngine::rows_per_run;
    std::int64_t first = 0;
    for (std::int64_t run = 0; run < runs; ++run) {
      const std::int64_t end = count * (run + 1) / runs;
      run_image_rows(pass, first, end);
      first = end;
    }
  }

 private:
  struct Model {
    LlamaConfig config;
    LlamaWeights weights;
  };

  LlamaHost(std::unique_ptr<Model> model, const LlamaOptions& options)
      : model_{std::move(model)},
        book_{model_->config, model_->weights.noisy(), options.max_sequences, "LlamaHost"},
        engine_{std::make_unique<LlamaEngine>(model_->config, model_->weights,
                                              options.max_sequences * max_branches, options.threads,
                                              options.instruction_set)} {
    rows_.reserve(static_cast<std::size_t>(LlamaEngine::rows_per_run));
  }

  /// Runs [words, <image>] of branch 0 and, behind it, the <image> of branch 1 if there is one.
  void run_prompt(std::int32_t sequence, const Prompt& prompt, const MatrixView<float>& logits) {
    const auto words = static_cast<std::int64_t>(prompt.size());
    const std::int64_t count = words + logits.rows;
    for (std::int64_t first = 0; first < count; first += LlamaEngine::rows_per_run) {
      const std::int64_t end = std::min(count, first + LlamaEngine::rows_per_run);
      rows_.clear();
      for (std::int64_t i = first; i < end; ++i) {
        const std::int32_t branch = i > words ? 1 : 0;
        rows_.push_back({LlamaBook::slot(sequence, branch), branch == 1 ? 0 : i});
        float* out = engine_->hidden(i - first);
        if (i < words) {
          copy_row(model_->weights.text_embedding, prompt[static_cast<std::size_t>(i)], out);
        } else {
          copy_row(model_->weights.text_embedding, WordTokenizer::image_id, out);
          add_row(model_->weights.image_position, 0, out);
        }
      }
      engine_->run(rows_);
      for (std::int64_t i = std::max(first, words); i < end; ++i) {
        engine_->logits(i - first, 1, logits.row(i - words).data(), logits.stride);
      }
    }
  }

  void run_image_rows(const ForwardPass<>& pass, std::int64_t first, std::int64_t end) {
    rows_.clear();
    for (std::int64_t i = first; i < end; ++i) {
      const InputRow& row = pass.rows[static_cast<std::size_t>(i)];
      rows_.push_back({LlamaBook::slot(row.sequence, row.branch),
                       book_.prompt_rows(row.sequence, row.branch) + row.position});
      float* out = engine_->hidden(i - first);
      if (row.level == 0) {
        copy_row(model_->weights.image_embedding, row.token, out);
      } else {
        const auto fed = pass.embeddings.row(row.embedding);
        std::copy(fed.begin(), fed.end(), out);
        add_row(model_->weights.level_embedding, row.level - 1, out);
      }
      add_row(model_->weights.image_position, row.position + 1, out);
    }
    engine_->run(rows_);
    MatrixView<float> hidden = pass.hidden;
    if (hidden.data != nullptr) hidden.data += first * hidden.stride;
    engine_->logits(0, end - first, pass.logits.data + first * pass.logits.stride,
                    pass.logits.stride, hidden);
  }

  void copy_row(const std::vector<float>& table, std::int64_t index, float* out) const {
    std::copy_n(table.begin() + index * config().hidden_size, config().hidden_size, out);
  }
  void add_row(const std::vector<float>& table, std::int64_t index, float* out) const {
    const float* row = table.data() + index * config().hidden_size;
    for (std::int64_t i = 0; i < config().hidden_size; ++i) out[i] += row[i];
  }

  std::unique_ptr<Model> model_;
  LlamaBook book_;
  std::unique_ptr<LlamaEngine> engine_;
  std::vector<LlamaRow> rows_;  // rows of one run
  std::optional<CorrectorHead> corrector_;
};

static_assert(NoisyModel<LlamaHost> && HiddenModel<LlamaHost>);

}  // namespace sjd::hosts
