// SPDX-License-Identifier: Apache-2.0
// The shipped model: noise fixed per position gives AR's own tokens, whatever window and batch
// decode them. test_shipped_model [PROMPTS]: exit code 1 if a token differs, 77 if there is no
// model.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <vector>

#include "compositions.hpp"
#include "prompts.hpp"
#include "studio.hpp"

namespace {

using namespace sjd;

using Pictures = std::vector<std::vector<TokenId>>;

Pictures decode(paint::Studio& studio, const char* name, std::int64_t window,
                const std::vector<paint::Request>& requests) {
  paint::Plan plan;
  plan.window = window;
  const auto decoder = paint::find_composition(name)->make(studio.engine(), plan);
  Pictures pictures;
  const auto results = decoder->generate(requests, [](const IterationEvent&) { return true; });
  for (const GenerationResult& result : results) pictures.push_back(result.tokens);
  return pictures;
}

std::vector<paint::Request> make_requests(const paint::Studio& studio, std::int64_t prompts,
                                          float guidance) {
  std::vector<paint::Request> requests;
  for (const auto& entry : bench::draw_prompts(studio, "new_combinations", prompts, 1)) {
    paint::Request request;
    request.prompt = entry.words;
    request.tokens = studio.tokens();
    request.seed = 11;
    request.sample = requests.size();
    if (guidance != 1.0F) request.guidance = {guidance};
    requests.push_back(request);
  }
  return requests;
}

/// Counts the pictures of every window that are not AR's.
std::int64_t count_differences(const char* name, std::int64_t batch, float guidance,
                               std::int64_t prompts, const std::vector<std::int64_t>& windows) {
  paint::StudioOptions options;
  options.sequences = batch;
  paint::Studio studio{options};
  const auto requests = make_requests(studio, prompts, guidance);
  const Pictures expected = decode(studio, "ar-gumbel", 1, requests);
  std::int64_t differences = 0;
  for (const std::int64_t window : windows) {
    const Pictures pictures = decode(studio, name, window, requests);
    std::int64_t equal = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) equal += pictures[i] == expected[i] ? 1 : 0;
    const auto all = static_cast<std::int64_t>(expected.size());
    std::printf("%-11s guidance %.0f, batch %lld, window %2lld: %lld of %lld pictures equal AR's\n",
                name, static_cast<double>(guidance), static_cast<long long>(batch),
                static_cast<long long>(window), static_cast<long long>(equal),
                static_cast<long long>(all));
    std::fflush(stdout);
    differences += all - equal;
  }
  return differences;
}

int run(std::int64_t prompts) {
  if (!std::filesystem::exists(paint::find_model() / "config.json")) {
    std::printf("no model at %s: skipped\n", paint::find_model().c_str());
    return 77;
  }
  const std::vector<std::int64_t> windows{1, 4, 16, 64};
  std::int64_t differences = 0;
  for (const std::int64_t batch : {1, 3, 8}) {
    differences += count_differences("sjd2-gumbel", batch, 1.0F, prompts, windows);
  }
  differences += count_differences("sjd-gumbel", 3, 1.0F, prompts, windows);
  // Guidance: two branches of different length.
  differences += count_differences("sjd2-gumbel", 8, 3.0F, prompts, {4, 16});
  return differences == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::atoll(argv[1]) : 64);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "test_shipped_model: %s\n", error.what());
    return 1;
  }
}
