// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <utility>
#include <vector>

namespace sjd::test {

/// Evidence that draws do not follow a law over finitely many cells.
///
/// E = (likelihood of the draws under a Dirichlet(1/2) mixture of all laws) / (under the law). If
/// the draws are independent and follow the law, E has mean 1 after every draw and
/// P(E ever reaches 1/alpha) <= alpha: exactly, for any number of looks and any stopping time.
///
/// edge    a draw from a cell of probability 0 makes E infinite; one cell alone keeps E at 1
/// errors  std::logic_error if the law does not sum to 1 within 1e-9
/// source  Ville's inequality; Ramdas et al., arXiv 2210.01948
class EProcess {
 public:
  /// log E at which draws are said not to follow the law: E >= 1e14.
  static constexpr double decisive = 14.0 * std::numbers::ln10;

  /// shapes  law [cells], probabilities
  explicit EProcess(std::vector<double> law) : law_{std::move(law)}, counts_(law_.size(), 0) {
    double sum = 0.0;
    for (const double p : law_) sum += p;
    if (!(std::fabs(sum - 1.0) < 1e-9)) throw std::logic_error{"a law that does not sum to 1"};
  }

  void add(std::size_t cell, std::int64_t times = 1) { counts_.at(cell) += times; }

  /// Natural logarithm of E. No more is needed than the counts: E does not depend on their order.
  [[nodiscard]] double log_e() const {
    long double sum = 0.0L;
    long double draws = 0.0L;
    long double half_cells = 0.0L;
    for (std::size_t i = 0; i < law_.size(); ++i) {
      const auto count = static_cast<long double>(counts_[i]);
      if (law_[i] <= 0.0) {
        if (counts_[i] > 0) return std::numeric_limits<double>::infinity();
        continue;
      }
      half_cells += 0.5L;
      draws += count;
      sum += std::lgamma(count + 0.5L) - std::lgamma(0.5L) -
             count * std::log(static_cast<long double>(law_[i]));
    }
    return static_cast<double>(sum + std::lgamma(half_cells) - std::lgamma(draws + half_cells));
  }

  [[nodiscard]] bool fails() const { return log_e() >= decisive; }
  [[nodiscard]] const std::vector<std::int64_t>& counts() const { return counts_; }

 private:
  std::vector<double> law_;           // [cells]
  std::vector<std::int64_t> counts_;  // [cells]
};

}  // namespace sjd::test
