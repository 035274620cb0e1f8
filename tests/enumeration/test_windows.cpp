// SPDX-License-Identifier: Apache-2.0
// Windows that shrink and grow with what was accepted change no law; one that looks at a draft
// before it was judged is seen.
#include <map>
#include <set>

#include "sjd/methods.hpp"
#include "support/instances.hpp"
#include "support/latency_host.hpp"
#include "support/wrong_rules.hpp"

namespace sjd::test {
namespace {

/// Which widths a plan took behind each number of tokens.
using Widths = std::map<std::int64_t, std::set<std::int64_t>>;

/// A plan under watch.
template <class Plan>
struct Watched {
  using role = role::window;

  Plan plan;
  Widths* seen = nullptr;

  [[nodiscard]] std::int64_t rows(const WindowHistory& history) const {
    const std::int64_t rows = plan.rows(history);
    (*seen)[history.committed].insert(rows);
    return rows;
  }
  [[nodiscard]] std::int64_t capacity() const { return plan.capacity(); }
};

/// Jumps with every count that a plan may see.
struct JumpingWindow {
  using role = role::window;

  std::int64_t widest = 4;

  [[nodiscard]] std::int64_t rows(const WindowHistory& history) const {
    const DecodeStatistics& s = history.statistics;
    const auto sum = static_cast<std::uint64_t>(s.accepted * 31 + s.recovered * 7 + s.rows +
                                                history.width * 5 + s.forward_passes);
    const auto span = static_cast<std::uint64_t>(widest);
    return std::min(1 + static_cast<std::int64_t>(mix(sum) % span),
                    history.total - history.committed);
  }
  [[nodiscard]] std::int64_t capacity() const { return widest; }
};

KarrasSchedule levels(std::int32_t count) {
  return {.levels = count, .grid = 4, .rho_min = 0.5F, .rho_max = 2.0F};
}

/// Exact under both plans, and both take different widths behind the same number of tokens.
template <class... Policies>
void check_windows(const std::string& name, std::uint64_t salt, Policies... policies) {
  Widths by_cost;
  Widths by_jump;
  const auto cost = [&](const Instance&, TableHost&) {
    return Watched<CostAwareWindow>{moody_window(4), &by_cost};
  };
  const auto jump = [&](const Instance&, TableHost&) {
    return Watched<JumpingWindow>{{}, &by_jump};
  };
  INFO(name);
  CHECK(enumerate_windows(name + ", by cost", {}, instances(salt), cost, policies...).worst <=
        1e-12L);
  CHECK(enumerate_windows(name + ", jumping", {}, instances(salt + 20), jump, policies...).worst <=
        1e-12L);
  CHECK(by_cost[2].size() > 1);
  CHECK(by_jump[2].size() > 1);
}

/// Total variation of the plan that peeks.
template <class... Policies>
long double peek(const std::string& name, std::uint64_t salt, Policies... policies) {
  const auto window = [](const Instance& instance, TableHost& host) {
    return PeekingWindow{&host, instance.window};
  };
  return enumerate_windows(name, {}, instances(salt), window, policies...).worst;
}

}  // namespace

TEST_CASE("windows that follow acceptance leave SJD exact", "[enumeration][window]") {
  check_windows("SJD fresh", 7000, NoNoise{}, FreshRedraw{});
  check_windows("SJD coupled", 7100, NoNoise{}, MaximalCoupling{});
  check_windows("SJD quantile, ratio test", 7200, NoNoise{}, QuantileCoupling{});
  check_windows("SJD quantile equality", 7300, NoNoise{}, QuantileCoupling{}, QuantileEquality{});
}

TEST_CASE("windows that follow acceptance leave SJD2 exact", "[enumeration][window]") {
  check_windows("SJD2 coupled, K=1", 7400, levels(1));
  check_windows("SJD2 coupled, K=2", 7500, levels(2));
  check_windows("SJD2 fresh, raw, K=1", 7600, levels(1), FreshRedraw{}, RawNoise{});
}

TEST_CASE("a window that looks at a draft not yet judged is caught",
          "[enumeration][window][control]") {
  CHECK(peek("control: peeking window, SJD", 7700, NoNoise{}) > 1e-3L);
  CHECK(peek("control: peeking window, SJD2", 7800, levels(1)) > 1e-3L);
  CHECK(peek("control: peeking window, quantile", 7900, NoNoise{}, QuantileCoupling{}) > 1e-3L);
}

TEST_CASE("a fresh draft forgets what a window saw of the old one", "[enumeration][window]") {
  CHECK(peek("peeking window, fresh drafts", 8000, NoNoise{}, FreshRedraw{}) <= 1e-12L);
}

}  // namespace sjd::test
