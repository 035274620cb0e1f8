// SPDX-License-Identifier: Apache-2.0
// expected: sjd::NoisyModel: a noise schedule needs model.embedding_table() and model.noise_contract(); give NoNoise{} to a model without noise levels
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = int;
  std::int64_t vocab_size() const { return 2; }
  std::int64_t max_sequences() const { return 1; }
  void prefill(std::int32_t, const int&, sjd::MatrixView<float>) {}
  void forward(const sjd::ForwardPass<>&) {}
};

#if defined(SJD_COMPILES)
using Schedule = sjd::NoNoise;
#else
using Schedule = sjd::KarrasSchedule;
#endif

void use(Engine& engine) { sjd::SpeculativeJacobiDenoiser denoiser{engine, Schedule{}}; }
