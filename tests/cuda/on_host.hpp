// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/kernel_arrays.hpp"
#include "sjd/cuda/launch.hpp"

namespace sjd::test {

/// Runs a step on the host executor, every time in another order.
struct OnHost {
  cuda::HostLauncher& launcher;

  template <class Step>
  void operator()(const Step& step, const cuda::BatchShape&, const DecodeArrays&,
                  const EmbeddingTables&) const {
    cuda::decode_step(launcher, step);
  }
};

}  // namespace sjd::test
