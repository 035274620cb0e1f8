// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <tuple>

#include "sjd/core/random.hpp"

namespace sjd::test {

/// Every counter that a decode used; a second use of one is an error.
struct CounterAudit {
  std::set<std::tuple<Position, std::int64_t, Purpose>> used;
  std::int64_t repeated = 0;
  std::int64_t out_of_range = 0;

  void record(const DrawKey& key) {
    if (!used.insert({key.position, key.iteration, key.purpose}).second) repeated += 1;
    constexpr std::int64_t limit = std::int64_t{1} << 32;
    const bool fits = key.position >= 0 && key.position < limit && key.iteration >= 0 &&
                      key.iteration < limit && key.purpose != Purpose::shared;
    if (!fits) out_of_range += 1;
  }
};

/// The production gate, with every counter written down.
class RecordingGate {
 public:
  RecordingGate(PhiloxGate gate, CounterAudit& audit) : gate_{gate}, audit_{&audit} {}

  bool bernoulli(DrawKey key, uint128 part, uint128 whole) {
    audit_->record(key);
    return gate_.bernoulli(key, part, whole);
  }
  TokenId categorical(DrawKey key, const TokenLaw& law) {
    audit_->record(key);
    return gate_.categorical(key, law);
  }
  std::int64_t weighted(DrawKey key, std::span<const uint128> weights) {
    audit_->record(key);
    return gate_.weighted(key, weights);
  }
  void gaussian(DrawKey key, std::span<float> values) {
    audit_->record(key);
    gate_.gaussian(key, values);
  }
  TokenId quantile(Position position, const TokenLaw& law) { return gate_.quantile(position, law); }
  TokenId gumbel(Position position, const TokenLaw& law) { return gate_.gumbel(position, law); }

 private:
  PhiloxGate gate_;
  CounterAudit* audit_;
};

struct RecordingRandom {
  using role = role::random;
  CounterAudit* audit = nullptr;

  [[nodiscard]] RecordingGate gate(std::uint64_t seed, std::uint64_t sample) const {
    return {PhiloxGate{seed, sample}, *audit};
  }
};

}  // namespace sjd::test
