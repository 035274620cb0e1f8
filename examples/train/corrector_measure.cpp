// SPDX-License-Identifier: Apache-2.0
// Tokens per forward pass with and without the corrector head, on held-out prompts.
//
//   corrector_measure MODEL_DIR [PROMPTS] [THREADS] [HEAD_FILE] [quick|full]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "corrector_trace.hpp"
#include "sjd/sjd.hpp"

namespace {

using sjd::hosts::LlamaHost;
using Requests = std::vector<sjd::GenerationRequest<LlamaHost::Prompt>>;

Requests requests_of(const std::vector<LlamaHost::Prompt>& prompts, std::size_t count,
                     float guidance, std::int64_t tokens) {
  Requests requests;
  for (std::size_t i = 0; i < count; ++i) {
    Requests::value_type request{
        .prompt = prompts[i * prompts.size() / count], .tokens = tokens, .seed = 5, .sample = i};
    if (guidance > 0.0F) request.guidance = {guidance};
    requests.push_back(request);
  }
  return requests;
}

template <class... Policies>
void measure(const char* name, LlamaHost& host, const Requests& requests, std::int64_t window,
             std::int64_t depth, Policies... policies) {
  sjd::SpeculativeJacobiDenoiser decoder{host, sjd::FixedWindow{.tokens = window},
                                         sjd::HeadCorrector{.depth = depth}, policies...};
  double sum = 0.0;
  double squares = 0.0;
  const sjd::Stopwatch watch;
  for (const auto& request : requests) {
    const auto result = decoder.generate(request);
    const auto passes = static_cast<double>(result.statistics.forward_passes);
    sum += passes;
    squares += passes * passes;
  }
  const double seconds = watch.seconds();
  const auto n = static_cast<double>(requests.size());
  const double mean = sum / n;
  const double error = std::sqrt(std::max(squares / n - mean * mean, 0.0) / n);
  const double tau = static_cast<double>(requests.front().tokens) / mean;
  std::printf(
      "%-8s W%-3lld D%-3lld cfg %.1f  %6.2f +- %.2f tokens/forward  host %5.1f ms  "
      "head %5.1f ms (%4.1f %%)  all %6.1f ms a picture\n",
      name, static_cast<long long>(window), static_cast<long long>(depth),
      requests.front().guidance.empty() ? 0.0 : static_cast<double>(requests.front().guidance[0]),
      tau, tau * error / mean, 1e3 * decoder.host_seconds() / n,
      1e3 * decoder.corrector_seconds() / n,
      100.0 * decoder.corrector_seconds() / decoder.host_seconds(), 1e3 * seconds / n);
  std::fflush(stdout);
}

int run(int count, char** words) {
  const std::filesystem::path model = words[1];
  const auto pictures = static_cast<std::size_t>(count > 2 ? std::atoi(words[2]) : 32);
  const int threads = count > 3 ? std::atoi(words[3]) : 1;
  const std::string head = count > 4 ? words[4] : "corrector.safetensors";
  const bool quick = count > 5 && std::string{words[5]} == "quick";
  LlamaHost host =
      LlamaHost::load(model, "sjd2.safetensors", {.threads = threads, .corrector = head});
  const auto prompts = sjd::train::read_prompts(model, "new_combinations");
  const auto noise = host.config().noise;
  const auto levels = [&](std::int32_t k) {
    return sjd::KarrasSchedule{
        .levels = k, .grid = noise.grid, .rho_min = noise.rho_min, .rho_max = noise.rho_max};
  };
  for (const float guidance : {0.0F, 3.0F}) {
    const Requests requests =
        requests_of(prompts, pictures, guidance, host.config().image_tokens());
    for (const std::int64_t window : {32, 64}) {
      if (quick && window == 64) continue;
      for (const std::int64_t depth : {0, 8, 16, 32}) {
        if (quick && (depth == 8 || depth == 16)) continue;
        measure("sjd", host, requests, window, depth, sjd::NoNoise{});
        measure("sjd2 K1", host, requests, window, depth, levels(1));
        if (!quick && depth % 32 == 0) measure("sjd2 K2", host, requests, window, depth, levels(2));
      }
    }
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) {
    std::fprintf(stderr,
                 "corrector_measure MODEL_DIR [PROMPTS] [THREADS] [HEAD_FILE] [quick|full]\n");
    return 2;
  }
  try {
    return run(count, words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "corrector_measure: %s\n", error.what());
    return 1;
  }
}
