// SPDX-License-Identifier: Apache-2.0
// Pictures whose decode never leaves the device: passes, verdicts, redraws and windows follow one
// another without the host. Compiled by nvcc this runs on the GPU, here of compute capability 9.0:
//   nvcc -std=c++20 --expt-relaxed-constexpr -arch=sm_90 -O2 -isystem include -x cu
//     examples/04_device_loop.cpp -lcublas -o device_loop
// By a C++ compiler it runs the same kernels on the CPU, which is slow and for proofs:
//   g++ -std=c++20 -O2 -pthread -I include examples/04_device_loop.cpp -o device_loop
// Both need the headers of nlohmann-json (Debian: nlohmann-json3-dev), and the program a model
// directory with a corrector head, as this repository ships one:
//   ./device_loop examples/paint/model
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <sjd/cuda/device_decoder.hpp>
#include <sjd/cuda/rules_of.hpp>
#include <sjd/hosts/corrector_head.hpp>
#include <sjd/hosts/corrector_lines.hpp>
#include <sjd/hosts/llama_cuda.hpp>
#include <sjd/hosts/word_tokenizer.hpp>
#include <sjd/sjd.hpp>
#include <vector>

#if defined(__CUDACC__)
#include <sjd/cuda/graph.cuh>
#include <sjd/hosts/llama_cuda.cuh>
using Backend = sjd::hosts::CudaBackend;
using Device = sjd::cuda::GraphDevice;
constexpr bool same_bits = false;  // cuBLAS may round otherwise where a pass has other extents
sjd::cuda::DeviceLimits limits() {
  return sjd::cuda::device_limits();
}
#else
using Backend = sjd::hosts::HostBackend;
using Device = sjd::cuda::HostDevice;
constexpr bool same_bits = true;
sjd::cuda::DeviceLimits limits() {
  return {.clusters = true, .shared_bytes = 227 * 1024, .multiprocessors = 8};
}
#endif

using Model = sjd::hosts::LlamaCuda<Backend, sjd::cuda::Bf16>;
using Request = sjd::GenerationRequest<Model::Prompt>;

// [begin]
// Decodes all requests, `places` at a time.
template <class Denoiser>
std::vector<sjd::DecoderState> decode_on_device(Denoiser& denoiser, std::int64_t places,
                                                const std::vector<Request>& requests) {
  Model& model = denoiser.model();
  Device device;
  const sjd::cuda::DeviceRules rules{device, sjd::cuda::rules_of(denoiser, 0)};
  const sjd::hosts::CorrectorLines lines{model.corrector_head().weights()};
  const sjd::cuda::DeviceHead head{device, lines.tables(), places, rules.rules().depth};
  sjd::cuda::DeviceDecoder decoder{model,
                                   device,
                                   rules,
                                   {.sequences = places,
                                    .most_tokens = model.config().image_tokens(),
                                    .branches = 2,
                                    .hidden_dim = model.hidden_dim()},
                                   limits(),
                                   head.change()};
  // Prompts run as ever; from then on the host only looks who has finished.
  const auto start = [&](std::int64_t place, std::int64_t i) {
    return denoiser.start(static_cast<std::int32_t>(place), requests[static_cast<std::size_t>(i)]);
  };
  return decoder.decode(static_cast<std::int64_t>(requests.size()), start);
}
// [end]

int paint(const std::filesystem::path& directory, std::int64_t tokens) {
  constexpr std::int64_t places = 2;
  constexpr std::int64_t window = 8;
  Backend backend;
  Model model{backend, directory, "sjd2.safetensors", {.sequences = places, .rows = window + 1}};
  model.set_corrector(std::make_shared<sjd::hosts::CorrectorHead>(sjd::hosts::CorrectorHead::load(
      directory / "corrector.safetensors", model.vocab_size(), model.hidden_dim(),
      sjd::hosts::Storage::fp32, sjd::hosts::best_instruction_set())));

  const sjd::NoiseContract contract = model.noise_contract();
  sjd::SpeculativeJacobiDenoiser denoiser{model, sjd::FixedWindow{.tokens = window},
                                          sjd::HeadCorrector{.depth = window},
                                          sjd::KarrasSchedule{.levels = 1,
                                                              .grid = contract.grid,
                                                              .rho_min = contract.rho_min,
                                                              .rho_max = contract.rho_max}};
  const auto words = sjd::hosts::WordTokenizer::read(directory / "tokenizer.json");
  std::vector<Request> requests;
  for (const char* text : {"red apple", "green pear", "blue fish"}) {
    requests.push_back({.prompt = words.encode(text, 16).ids,
                        .tokens = tokens,
                        .seed = 7,
                        .sample = requests.size(),
                        .guidance = {3.0F}});
  }

  const auto states = decode_on_device(denoiser, places, requests);
  const auto expected = denoiser.generate(requests);
  std::size_t equal = 0;
  std::int64_t passes = 0;
  for (std::size_t i = 0; i < states.size(); ++i) {
    equal += states[i].tokens == expected[i].tokens ? 1U : 0U;
    passes += states[i].statistics.forward_passes;
  }
  std::printf("%zu pictures of %lld tokens in %lld passes, %zu equal to those of the denoiser\n",
              states.size(), static_cast<long long>(tokens), static_cast<long long>(passes), equal);
  return equal == states.size() || !same_bits ? 0 : 1;
}

int main(int count, char** words) {
  if (count != 2 && count != 3) {
    std::fprintf(stderr, "04_device_loop MODEL_DIRECTORY [TOKENS]\n");
    return 64;
  }
  try {
    return paint(words[1], count == 3 ? std::strtoll(words[2], nullptr, 10) : 16);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "04_device_loop: %s\n", error.what());
    return 1;
  }
}
