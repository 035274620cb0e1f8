// SPDX-License-Identifier: Apache-2.0
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "corrector_fit.hpp"
#include "kernel_math.hpp"

namespace sjd::train {
namespace {

/// Acceptance of a second candidate y != x drawn from r without x, averaged over the rejected x.
///
/// shapes  r, p [vocab], both summing to 1
double second_acceptance(const std::vector<double>& r, const std::vector<double>& p) {
  std::vector<double> residual(r.size());
  double rejected = 0.0;
  for (std::size_t v = 0; v < r.size(); ++v) {
    residual[v] = std::max(p[v] - r[v], 0.0);
    rejected += residual[v];
  }
  if (rejected <= 0.0) return 0.0;
  double accepted = 0.0;
  for (std::size_t x = 0; x < r.size(); ++x) {
    const double weight = std::max(r[x] - p[x], 0.0);
    if (weight <= 1e-4 * rejected || r[x] >= 1.0) continue;
    double overlap = 0.0;
    for (std::size_t y = 0; y < r.size(); ++y) {
      if (y != x) overlap += std::min(r[y] / (1.0 - r[x]), residual[y] / rejected);
    }
    accepted += weight / rejected * overlap;
  }
  return accepted;
}

void normalize(std::vector<double>& values) {
  const double total = std::accumulate(values.begin(), values.end(), 0.0);
  for (double& value : values) value /= total;
}

}  // namespace

SecondCandidate CorrectorFit::second_candidate(const CorrectorTraces& traces, std::int64_t distance,
                                               std::int64_t most_rows) {
  const at::NoGradGuard no_autograd;
  const auto vocab = static_cast<std::size_t>(shape_.vocab);
  std::vector<double> r(vocab);
  std::vector<double> p(vocab);
  SecondCandidate found;
  double rejected = 0.0;
  for (std::int64_t row = 0; row < traces.rows() && found.rows < most_rows; row += 7) {
    if (traces.distance[static_cast<std::size_t>(row)] != distance) continue;
    gather(traces, {&row, 1});
    forward(1, {});
    for (std::size_t v = 0; v < vocab; ++v) {
      const std::size_t at = static_cast<std::size_t>(row) * vocab + v;
      // Logits lie below their largest, so their exponentials are at most 1.
      r[v] = std::exp(double{logit_step} * traces.logits[at] + double{widen(change_[v])});
      p[v] = double{widen(traces.target[at])};
    }
    normalize(r);
    normalize(p);
    double overlap = 0.0;
    for (std::size_t v = 0; v < vocab; ++v) overlap += std::min(r[v], p[v]);
    found.first += overlap;
    found.second += (1.0 - overlap) * second_acceptance(r, p);
    rejected += 1.0 - overlap;
    ++found.rows;
  }
  found.first /= static_cast<double>(std::max<std::int64_t>(found.rows, 1));
  found.second /= std::max(rejected, 1e-9);
  return found;
}

}  // namespace sjd::train
