// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sjd/core/staging.hpp"
#include "sjd/cuda/device_decoder.hpp"
#include "sjd/cuda/rules_of.hpp"
#include "sjd/hosts/llama_config.hpp"
#include "sjd/hosts/llama_shapes.hpp"

namespace sjd::bench {

/// Tokens behind a pass that is timed: 1024, or half of a picture that has less than twice as many.
[[nodiscard]] inline std::int64_t context_of(const hosts::LlamaConfig& config) {
  return std::min<std::int64_t>(1024, config.image_tokens() / 2);
}

/// Bytes that a pass of two branches in bf16 must read: weights, keys and values of `context`.
[[nodiscard]] inline double bytes_of_pass(const hosts::LlamaConfig& c, std::int64_t context) {
  constexpr std::int64_t branches = 2;
  const std::int64_t values = c.layers * c.kv_heads * c.head_dim;
  const std::int64_t cache = branches * context * 2 * values;
  return 2.0 * static_cast<double>(hosts::weights_of_pass(c) + cache);
}

/// Feeds the first `count` of `tokens` to a sequence whose prompt has run, as clean rows of every
/// branch, at most `block` of a branch at once.
template <class Model>
void feed_tokens(Model& model, const DecoderState& state, std::span<const TokenId> tokens,
                 std::int64_t count, std::int64_t block) {
  detail::StagedBuffer<Model> logits{model};
  for (std::int64_t first = 0; first < count; first += block) {
    const std::int64_t end = std::min(count, first + block);
    std::vector<KeepLength> keep;
    std::vector<InputRow> rows;
    for (std::int32_t branch = 0; branch < state.branches(); ++branch) {
      keep.push_back({state.sequence, branch, first});
      for (std::int64_t i = first; i < end; ++i) {
        rows.push_back({state.sequence, branch, i, tokens[static_cast<std::size_t>(i)], 0, -1});
      }
    }
    logits.reshape(static_cast<std::int64_t>(rows.size()), model.vocab_size());
    model.forward({keep, rows, {}, logits.on_model()});
  }
  logits.download();  // waits: whoever goes on may use another stream
}

/// A sequence in the middle of a picture, as if `tokens` had been committed one a pass: its prompt
/// has run, the cache holds all of them but the last, the window is that of a first pass.
///
/// errors  invalid_argument unless 1 <= tokens < request.tokens and block >= 1; those of start()
///         and of the model
template <class Denoiser>
[[nodiscard]] DecoderState start_within(Denoiser& denoiser, std::int32_t sequence,
                                        const typename Denoiser::Request& request,
                                        std::span<const TokenId> tokens, std::int64_t block) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  expects(count >= 1 && count < request.tokens && block >= 1, ErrorCode::invalid_argument,
          "start_within: a picture needs tokens on both sides of its middle");
  DecoderState state = denoiser.start(sequence, request);
  feed_tokens(denoiser.model(), state, tokens, count - 1, block);
  state.tokens.assign(tokens.begin(), tokens.end());
  state.iteration = count - 1;
  const auto drafts = static_cast<std::size_t>(request.tokens - count - 1);
  if (state.window.size() > drafts) state.window.resize(drafts);
  return state;
}

/// What a pass is timed on.
struct MidPictureSize {
  std::int64_t window = 1;   ///< rows of a pass in every branch
  std::int64_t context = 1;  ///< committed tokens
  std::int64_t tokens = 2;   ///< of the finished picture
  std::int64_t block = 1;    ///< rows of a branch that the model takes at once
  std::int64_t top_k = 0;
};

/// SJD2 with raw noise and guidance of two branches, in the middle of a picture of random tokens:
/// a DeviceDecoder that can be put back to the same state before every pass. A window of one row is
/// plain AR.
///
/// memory  borrows model and device; all arrays of the decoder
/// errors  those of DeviceDecoder and start_within
template <class Model, class Device>
class MidPicture {
 public:
  MidPicture(Model& model, Device& device, const MidPictureSize& size,
             const cuda::DeviceLimits& limits)
      : rules_{device, rules_of(model, size)},
        decoder_{model, device, rules_, room_of(model, size), limits} {
    {
      auto denoiser = denoiser_of(model, size);
      decoder_.admit(
          0, start_within(denoiser, 0, request_of(size), tokens_of(model, size), size.block));
    }
    // Drafts of a first pass have no laws yet; and all kernels are loaded before a capture.
    constexpr int passes = 3;
    for (int i = 0; i < passes; ++i) {
      enqueue_pass(device.launcher());
      enqueue_step(device.launcher());
    }
    state_ = decoder_.release(0);
    decoder_.admit(0, state_);
  }

  /// Puts the state back; on the device's launcher, without waiting for it.
  ///
  /// errors  those of DeviceDecoder::release, if the sequence stands still
  void restore() {
    static_cast<void>(decoder_.release(0));
    decoder_.admit(0, state_);
  }
  /// One pass from the state on, and the step behind it.
  void enqueue_pass(typename Device::Launcher& launcher) const { decoder_.enqueue_pass(launcher); }
  void enqueue_step(typename Device::Launcher& launcher) const { decoder_.enqueue_step(launcher); }

  [[nodiscard]] const DecoderState& state() const { return state_; }
  /// Where the sequence stands now; it is back at state() then.
  [[nodiscard]] DecoderState look() {
    DecoderState now = decoder_.release(0);
    decoder_.admit(0, state_);
    return now;
  }

 private:
  static auto denoiser_of(Model& model, const MidPictureSize& size) {
    const hosts::LlamaNoise& noise = model.config().noise;
    return SpeculativeJacobiDenoiser{
        model, FixedWindow{.tokens = size.window},
        KarrasSchedule{.grid = noise.grid, .rho_min = noise.rho_min, .rho_max = noise.rho_max},
        RawNoise{}};
  }
  static cuda::DecodeRules rules_of(Model& model, const MidPictureSize& size) {
    auto denoiser = denoiser_of(model, size);
    return cuda::rules_of(denoiser, 0);
  }
  static cuda::DecoderRoom room_of(const Model& model, const MidPictureSize& size) {
    return {.most_tokens = size.tokens,
            .branches = 2,
            .capacity = std::min(size.top_k, model.vocab_size())};
  }
  static GenerationRequest<typename Model::Prompt> request_of(const MidPictureSize& size) {
    return {.prompt = {2, 3, 4},
            .tokens = size.tokens,
            .seed = 7,
            .sampling = {.top_k = size.top_k},
            .guidance = {3.0F}};
  }
  static std::vector<TokenId> tokens_of(const Model& model, const MidPictureSize& size) {
    std::vector<TokenId> tokens;
    for (std::int64_t i = 0; i < size.context; ++i) {
      tokens.push_back(static_cast<TokenId>((i * 7919 + 13) % model.vocab_size()));
    }
    return tokens;
  }

  cuda::DeviceRules<Device> rules_;
  cuda::DeviceDecoder<Model, Device> decoder_;
  DecoderState state_;
};

}  // namespace sjd::bench
