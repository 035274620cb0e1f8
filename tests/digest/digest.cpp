// SPDX-License-Identifier: Apache-2.0
// Prints a digest of seeded decodes. Builds with other optimisation, instruction sets and
// contraction must print the same: every number on the way to a token is a fixed sequence of
// operations.
#include <bit>
#include <cmath>
#include <cstdio>

#include "sjd/methods.hpp"
#include "sjd/plain_ar.hpp"
#include "support/table_host.hpp"

namespace {

using namespace sjd::test;

template <class Decoder>
void digest(const char* name, Decoder decoder) {
  std::uint64_t h = 0;
  std::int64_t passes = 0;
  for (std::uint64_t sample = 0; sample < 4; ++sample) {
    sjd::GenerationRequest<TablePrompt> request{
        .prompt = {{1, 2}}, .tokens = 200, .seed = 9, .sample = sample};
    if (sample % 2 == 1) request.guidance = {1.5F};
    if (sample >= 2) request.sampling = {.temperature = 0.9F, .top_k = 11, .top_p = 0.97F};
    const auto picture = decoder.generate(request);
    for (const sjd::TokenId t : picture.tokens) h = mix(h ^ static_cast<std::uint64_t>(t));
    passes += picture.statistics.forward_passes;
  }
  std::printf("%-28s %016llx %lld\n", name, static_cast<unsigned long long>(h),
              static_cast<long long>(passes));
}

std::uint64_t bits_of(float value) {
  return std::bit_cast<std::uint32_t>(value);
}

/// The bits of every function between logits or random words and a decision.
void digest_arithmetic() {
  std::uint64_t h = 0;
  for (std::uint32_t i = 0; i < 100000; ++i) {
    const float x = -static_cast<float>(i) * 2.3e-4F;
    const auto word = static_cast<std::uint32_t>(mix(i));
    h = mix(h ^ bits_of(sjd::exp_nonpositive(x)));
    h = mix(h ^ sjd::mass_of(x));
    h = mix(h ^ bits_of(sjd::exponential_variate(word)));
    const float uniform = std::fma(static_cast<float>(word >> 9), 1.1920929e-7F, 5.9604645e-8F);
    h = mix(h ^ bits_of(sjd::normal_quantile(uniform)));
  }
  for (const sjd::KarrasSchedule& schedule :
       {sjd::KarrasSchedule{}, sjd::KarrasSchedule{.grid = 4, .rho_min = 0.5F, .rho_max = 2.0F}}) {
    for (std::int32_t level = 0; level <= schedule.grid + 1; ++level) {
      h = mix(h ^ bits_of(schedule.coefficients(level).alpha));
      h = mix(h ^ bits_of(schedule.coefficients(level).sigma));
    }
  }
  std::printf("%-28s %016llx\n", "arithmetic", static_cast<unsigned long long>(h));
}

}  // namespace

int main() {
  digest_arithmetic();
  // Small tables repeat their laws often enough for drafts to be accepted; integer logits are
  // the same on every host.
  TableHost host{{.vocab = 16, .dim = 4, .seed = 4, .integer_logits = true}};
  TableHost mean{
      {.vocab = 16, .dim = 4, .seed = 4, .integer_logits = true, .posterior_mean = true}};
  const sjd::FixedWindow window{.tokens = 12};
  const sjd::KarrasSchedule schedule{.levels = 3, .grid = 4, .rho_min = 0.5F, .rho_max = 2.0F};
  digest("plain AR", sjd::PlainAr{host});
  digest("plain AR, gumbel", sjd::PlainAr{host, sjd::GumbelEquality{}});
  digest("SJD fresh", sjd::Sjd<TableHost>{host, window});
  digest("SJD coupled", sjd::CoupledSjd<TableHost>{host, window});
  digest("SJD2 fresh, raw", sjd::Sjd2<TableHost, sjd::RawNoise>{host, window, schedule});
  digest("SJD2 coupled, mean", sjd::CoupledSjd2<TableHost>{mean, window, schedule});
  digest("SJD2 gumbel, mean", sjd::GumbelSjd2<TableHost>{mean, window, schedule});
}
