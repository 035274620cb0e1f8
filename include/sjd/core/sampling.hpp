// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "sjd/core/config.hpp"
#include "sjd/core/error.hpp"

namespace sjd {

/// Filters between guided logits and the law that tokens are drawn from.
///
/// Order everywhere: guidance, grammar, temperature, top-k, top-p, masses. Drafts go through the
/// same chain.
struct SamplingOptions {
  float temperature = 1.0F;  ///< > 0; 0 = all mass on the largest logit, lowest id on a tie
  std::int64_t top_k = 0;    ///< keep the k largest logits, lowest ids on a tie; 0 = off
  float top_p = 1.0F;  ///< keep the smallest set of largest masses that reaches this share; 1 = off

  void validate() const {
    expects(temperature >= 0.0F && std::isfinite(temperature), ErrorCode::invalid_argument,
            "SamplingOptions: temperature must be finite and >= 0");
    expects(top_k >= 0, ErrorCode::invalid_argument, "SamplingOptions: top_k must be >= 0");
    expects(top_p > 0.0F && top_p <= 1.0F, ErrorCode::invalid_argument,
            "SamplingOptions: top_p must be in (0, 1]");
  }

  friend bool operator==(const SamplingOptions&, const SamplingOptions&) = default;
};

/// One step of classifier-free guidance: guided + scale (logit - last).
///
/// edge    equal logits, also both -Inf, leave `guided`; +Inf always gives +Inf
/// source  arXiv 2207.12598
SJD_HOST_DEVICE inline float guided_logit(float logit, float last, float scale, float guided) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float step = logit == last ? 0.0F : logit - last;
  return logit == infinity ? infinity : std::fmaf(scale, step, guided);
}

}  // namespace sjd
