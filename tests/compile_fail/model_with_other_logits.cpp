// SPDX-License-Identifier: Apache-2.0
// expected: sjd::TokenModel: the type Logit is neither float nor sjd::Bfloat16 nor sjd::Float16;
// leave it out if logits are floats
#include <sjd/sjd.hpp>

struct Engine {
  using Memory = sjd::HostMemory;
  using Prompt = int;
#if defined(SJD_COMPILES)
  using Logit = sjd::Bfloat16;
#else
  using Logit = double;
#endif
  std::int64_t vocab_size() const {
    return 2;
  }
  std::int64_t max_sequences() const {
    return 1;
  }
  void prefill(std::int32_t, const int&, sjd::MatrixView<Logit>) {}
  template <class Pass>
  void forward(const Pass&) {}
};

void use(Engine& engine) {
  sjd::SpeculativeJacobiDenoiser denoiser{engine};
}
