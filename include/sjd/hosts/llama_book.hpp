// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sjd/core/error.hpp"
#include "sjd/core/matrix_view.hpp"
#include "sjd/hosts/llama_config.hpp"
#include "sjd/model.hpp"

namespace sjd::hosts {

/// What a LLaMA host knows of its noise and its caches, and the checks that a pass must stand
/// before anything changes. A slot is one (sequence, branch); positions in it count from the first
/// word.
class LlamaBook {
 public:
  static constexpr std::int32_t max_branches = 2;
  static constexpr std::int32_t image_word = 1;  ///< the begin-of-image token; no prompt holds it

  /// memory  borrows the config
  /// errors  invalid_argument for a number of sequences that cannot be served
  LlamaBook(const LlamaConfig& config, bool accepts_noise, std::int64_t max_sequences,
            std::string owner)
      : config_{&config}, accepts_noise_{accepts_noise}, owner_{std::move(owner)} {
    if (max_sequences < 1 || max_sequences > 65'536) {
      throw Error{ErrorCode::invalid_argument, owner_ + ": max_sequences must lie in [1, 65536]"};
    }
    branches_.resize(static_cast<std::size_t>(max_sequences * max_branches));
  }

  [[nodiscard]] std::int64_t max_sequences() const {
    return static_cast<std::int64_t>(branches_.size()) / max_branches;
  }
  [[nodiscard]] static std::int64_t slot(std::int32_t sequence, std::int32_t branch) {
    return std::int64_t{sequence} * max_branches + branch;
  }
  /// Words and the begin-of-image token of a slot; 0: not prefilled.
  [[nodiscard]] std::int64_t prompt_rows(std::int32_t sequence, std::int32_t branch) const {
    return at(sequence, branch).prompt_rows;
  }

  /// What the weights of this host were trained on.
  ///
  /// errors  contract if they were trained without noise
  template <class Weights>
  [[nodiscard]] NoiseContract noise_contract(const Weights& weights) const {
    if (!accepts_noise_) {
      throw Error{ErrorCode::contract,
                  owner_ +
                      ": these weights were trained without noise and have no noise contract; "
                      "load sjd2.safetensors to decode with noise"};
    }
    const LlamaNoise& noise = config_->noise;
    return {.grid = noise.grid,
            .rho_min = noise.rho_min,
            .rho_max = noise.rho_max,
            .posterior_mean = noise.posterior_mean,
            .per_channel = noise.per_channel,
            .mean = weights.noise_mean,
            .scale = weights.noise_scale,
            .log_prior = weights.log_prior};
  }

  /// errors  invalid_argument for a prompt, contract for a view that the host cannot serve
  template <class Memory>
  void check_prefill(std::int32_t sequence, std::span<const std::int32_t> prompt,
                     const MatrixView<float, Memory>& logits) const {
    const auto refuse = [&](ErrorCode code, const std::string& reason) {
      throw Error{code, owner_ + "::prefill: " + reason, sequence};
    };
    if (sequence < 0 || sequence >= max_sequences()) {
      refuse(ErrorCode::contract, "no such sequence");
    }
    if (logits.rows < 1 || logits.rows > max_branches) {
      refuse(ErrorCode::contract, "1 or 2 guidance branches are served");
    }
    check_view(logits, sequence);
    if (static_cast<std::int64_t>(prompt.size()) > config_->max_prompt_tokens) {
      refuse(ErrorCode::invalid_argument, "the prompt has " + std::to_string(prompt.size()) +
                                              " words, the model takes " +
                                              std::to_string(config_->max_prompt_tokens));
    }
    for (const std::int32_t id : prompt) {
      if (id < 0 || id >= config_->text_vocab_size || id == image_word) {
        refuse(ErrorCode::invalid_argument, std::to_string(id) + " is not the id of a word");
      }
    }
  }

  /// Forgets a sequence.
  void forget(std::int32_t sequence) {
    for (std::int32_t branch = 0; branch < max_branches; ++branch) at(sequence, branch) = Branch{};
  }
  /// Notes that a prompt of so many words was run in so many branches.
  void note_prefill(std::int32_t sequence, std::int64_t words, std::int64_t branches) {
    at(sequence, 0).prompt_rows = words + 1;
    if (branches == max_branches) at(sequence, 1).prompt_rows = 1;
    if (unseen_) note_unseen_passes();
  }

  /// errors  contract, naming sequence, branch and position
  template <class Memory>
  void check_pass(const ForwardPass<Memory>& pass) {
    for (Branch& branch : branches_) branch.next = -1;
    for (const KeepLength& keep : pass.keep_length) check_keep(keep);
    check_view(pass.logits, -1);
    const auto count = static_cast<std::int64_t>(pass.rows.size());
    if (pass.logits.rows < count) {
      throw Error{ErrorCode::contract, owner_ + "::forward: more rows than logits can hold"};
    }
    if (pass.hidden.data != nullptr &&
        (pass.hidden.rows < count || pass.hidden.columns != config_->hidden_size ||
         pass.hidden.stride < config_->hidden_size)) {
      throw Error{ErrorCode::contract,
                  owner_ + "::forward: the hidden view is not [rows, hidden_dim]"};
    }
    const InputRow* before = nullptr;
    for (const InputRow& row : pass.rows) {
      check_place(row, before);
      check_input(row, pass.embeddings);
      before = &row;
    }
  }
  /// Notes what a pass that was checked leaves in the caches.
  template <class Memory>
  void note_pass(const ForwardPass<Memory>& pass) {
    for (const KeepLength& keep : pass.keep_length) {
      at(keep.sequence, keep.branch).image_rows = keep.length;
    }
    for (const InputRow& row : pass.rows) {
      at(row.sequence, row.branch).image_rows = row.position + 1;
    }
  }
  /// Notes that passes may run from here on that nobody reports, as those of a replayed graph: any
  /// keep_length is believed.
  void note_unseen_passes() {
    unseen_ = true;
    for (Branch& branch : branches_) branch.image_rows = config_->image_tokens();
  }

 private:
  struct Branch {
    std::int64_t prompt_rows = 0;
    std::int64_t image_rows = 0;
    /// While a pass is checked: the position of its next row, -1 = no keep_length.
    std::int64_t next = -1;
  };

  [[nodiscard]] Branch& at(std::int32_t sequence, std::int32_t branch) {
    return branches_[static_cast<std::size_t>(slot(sequence, branch))];
  }
  [[nodiscard]] const Branch& at(std::int32_t sequence, std::int32_t branch) const {
    return branches_[static_cast<std::size_t>(slot(sequence, branch))];
  }

  template <class Memory>
  void check_view(const MatrixView<float, Memory>& logits, std::int64_t sequence) const {
    if (logits.data == nullptr || logits.columns != config_->image_vocab_size ||
        logits.stride < logits.columns) {
      throw Error{ErrorCode::contract, owner_ + ": the logits view is not [rows, vocab_size]",
                  sequence};
    }
  }

  [[noreturn]] void refuse(std::int32_t sequence, std::int32_t branch, Position position,
                           const std::string& reason) const {
    throw Error{ErrorCode::contract,
                owner_ + "::forward: sequence " + std::to_string(sequence) + ", branch " +
                    std::to_string(branch) + ", position " + std::to_string(position) + ": " +
                    reason,
                sequence, position};
  }

  void check_keep(const KeepLength& keep) {
    const auto fail = [&](const std::string& reason) {
      refuse(keep.sequence, keep.branch, keep.length, "keep_length: " + reason);
    };
    if (keep.sequence < 0 || keep.sequence >= max_sequences()) fail("no such sequence");
    if (keep.branch < 0 || keep.branch >= max_branches) fail("no such branch");
    Branch& branch = at(keep.sequence, keep.branch);
    if (branch.prompt_rows == 0) fail("the branch was not prefilled");
    if (keep.length < 0 || keep.length > branch.image_rows) {
      fail("only " + std::to_string(branch.image_rows) + " rows are there");
    }
    if (branch.next >= 0) fail("stands twice");
    branch.next = keep.length;
  }

  void check_place(const InputRow& row, const InputRow* before) {
    const auto fail = [&](const std::string& reason) {
      refuse(row.sequence, row.branch, row.position, reason);
    };
    if (row.sequence < 0 || row.sequence >= max_sequences()) fail("no such sequence");
    if (row.branch < 0 || row.branch >= max_branches) fail("no such branch");
    if (before != nullptr &&
        std::pair{row.sequence, row.branch} < std::pair{before->sequence, before->branch}) {
      fail("rows are not ordered by sequence and branch");
    }
    Branch& branch = at(row.sequence, row.branch);
    if (branch.next < 0) fail("the branch has no keep_length");
    if (row.position != branch.next) fail("position " + std::to_string(branch.next) + " is next");
    if (row.position + 1 >= config_->image_tokens()) fail("the picture ends before that");
    ++branch.next;
  }

  /// The numbers of an embedding in device memory are not looked at.
  template <class Memory>
  void check_input(const InputRow& row, const MatrixView<const float, Memory>& embeddings) const {
    const auto fail = [&](const std::string& reason) {
      refuse(row.sequence, row.branch, row.position, reason);
    };
    if (row.level == 0) {
      if (row.token < 0 || row.token >= config_->image_vocab_size) {
        fail("token " + std::to_string(row.token) + " is outside the vocabulary");
      }
      return;
    }
    if (!accepts_noise_) fail("a noisy row, but these weights were trained without noise");
    if (row.level < 0 || row.level > config_->noise.grid + 1) {
      fail("noise level " + std::to_string(row.level) + " is outside the grid");
    }
    if (embeddings.data == nullptr || embeddings.columns != config_->hidden_size ||
        embeddings.stride < embeddings.columns) {
      fail("the embeddings are not [noisy rows, hidden_size]");
    }
    if (row.embedding < 0 || row.embedding >= embeddings.rows) fail("no such embedding");
    if constexpr (std::is_same_v<Memory, HostMemory>) {
      for (const float value : embeddings.row(row.embedding)) {
        if (!std::isfinite(value)) fail("the embedding holds a value that is not finite");
      }
    }
  }

  const LlamaConfig* config_;
  bool accepts_noise_;
  std::string owner_;
  std::vector<Branch> branches_;  // [max_sequences, max_branches]
  bool unseen_ = false;           // passes may run that nobody reports
};

}  // namespace sjd::hosts
