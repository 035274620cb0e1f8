// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "sjd/cuda/device_decoder.hpp"
#include "sjd/cuda/rules_of.hpp"
#include "sjd/hosts/corrector_head.hpp"
#include "sjd/hosts/corrector_lines.hpp"
#include "sjd/hosts/llama_cuda.hpp"

namespace sjd::bench {

/// Gives a device host the corrector head that lies beside its weights, with the bits of kernels.
///
/// errors  those of CorrectorHead::load
template <class Model>
void load_head(Model& model, const std::filesystem::path& directory) {
  model.set_corrector(std::make_shared<hosts::CorrectorHead>(hosts::CorrectorHead::load(
      directory / "corrector.safetensors", model.vocab_size(), model.hidden_dim(),
      hosts::Storage::fp32, hosts::best_instruction_set())));
}

/// Stands where there is no corrector.
struct NoHead {
  [[nodiscard]] static cuda::NoChange change() { return {}; }
};

/// Whole pictures, one after the other through one place of a device; `Policies` as those of
/// SpeculativeJacobiDenoiser, FixedWindow{1} and NoNoise being plain AR.
///
/// memory  borrows the model; owns a device
/// errors  those of the denoiser and of DeviceDecoder
template <class Model, class Device, class... Policies>
class PictureLoop {
 public:
  using Denoiser = SpeculativeJacobiDenoiser<Model, Policies...>;
  using Request = typename Denoiser::Request;

  /// `tokens` of a picture at most, in `branches` of guidance
  PictureLoop(Model& model, std::int64_t tokens, std::int64_t branches,
              const cuda::DeviceLimits& limits, Policies... policies)
      : denoiser_{model, std::move(policies)...},
        rules_{device_, cuda::rules_of(denoiser_, 0)},
        head_{head_of(model, rules_.rules().depth, device_)},
        decoder_{model,
                 device_,
                 rules_,
                 {.most_tokens = tokens,
                  .branches = branches,
                  .hidden_dim = corrects ? model.hidden_dim() : 0},
                 limits,
                 head_.change()} {}

  /// Final states of the pictures, prompts included in the work.
  [[nodiscard]] std::vector<DecoderState> operator()(std::span<const Request> requests) {
    constexpr std::int32_t poll_every = 16;
    const auto start = [&](std::int64_t place, std::int64_t number) {
      return denoiser_.start(static_cast<std::int32_t>(place),
                             requests[static_cast<std::size_t>(number)]);
    };
    return decoder_.decode(static_cast<std::int64_t>(requests.size()), start, poll_every);
  }

 private:
  static constexpr bool corrects = Denoiser::uses_corrector;
  using Head = std::conditional_t<corrects, cuda::DeviceHead<Device>, NoHead>;
  using Change = decltype(std::declval<const Head&>().change());

  static Head head_of(Model& model, std::int64_t depth, Device& device) {
    if constexpr (corrects) {
      const hosts::CorrectorLines lines{model.corrector_head().weights()};
      return Head{device, lines.tables(), 1, depth};
    } else {
      return {};
    }
  }

  Device device_;
  Denoiser denoiser_;
  cuda::DeviceRules<Device> rules_;
  Head head_;
  cuda::DeviceDecoder<Model, Device, float, Change> decoder_;
};

/// Tokens that one pass gave on average, the first of a picture included.
[[nodiscard]] inline double tokens_per_pass(std::span<const DecoderState> pictures) {
  std::int64_t tokens = 0;
  std::int64_t passes = 0;
  for (const DecoderState& picture : pictures) {
    tokens += picture.committed();
    passes += picture.statistics.forward_passes;
  }
  return passes == 0 ? 0.0 : static_cast<double>(tokens) / static_cast<double>(passes);
}

}  // namespace sjd::bench
