// SPDX-License-Identifier: Apache-2.0
// The counters of a decode add up, and agree with what the host saw and the callback was told.
#include <numeric>

#include "support/compositions.hpp"

namespace sjd::test {
namespace {

std::int64_t sum(const std::vector<std::int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), std::int64_t{0});
}

}  // namespace

TEST_CASE("statistics add up for every composition") {
  for_each_composition([](const auto& c) {
    INFO(c.name);
    for (const std::int64_t window : {1, 3, 20}) {
      for (const Request& request : mixed_requests(5)) {
        TableHost host{options_for(c, {.vocab = 5, .dim = 2, .seed = 3})};
        c.with(host, window, [&](auto& decoder) {
          std::int64_t events = 0, committed = 1, accepted = 0, rows = 0;
          const auto picture = decoder.generate(request, [&](const IterationEvent& event) {
            events += 1;
            committed += event.committed;
            accepted += event.accepted;
            rows += event.rows;
            CHECK(event.committed >= 1);
            CHECK(event.committed <= event.rows);
            CHECK(event.state.committed() == committed);
            return true;
          });
          const DecodeStatistics& s = picture.statistics;
          CHECK(static_cast<std::int64_t>(picture.tokens.size()) == request.tokens);
          CHECK(s.accepted + s.recovered + s.bonus + 1 == request.tokens);
          CHECK(s.forward_passes == events);
          CHECK(s.forward_passes == host.calls - 1);
          CHECK(s.rows == host.rows_run);
          CHECK(s.rows == rows);
          CHECK(s.accepted == accepted);
          CHECK(committed == request.tokens);
          CHECK(sum(s.accepted_by_slot) == s.accepted);
          CHECK(sum(s.accepted_by_age) == s.accepted);
          CHECK(sum(s.judged_by_slot) == sum(s.judged_by_age));
          CHECK(sum(s.judged_by_slot) == s.accepted + s.recovered);
          CHECK(static_cast<std::int64_t>(s.judged_by_slot.size()) < window);
          std::int64_t branch_rows = 0;
          for (std::size_t i = 0; i < s.passes_by_rows.size(); ++i) {
            branch_rows += s.passes_by_rows[i] * static_cast<std::int64_t>(i + 1);
          }
          CHECK(sum(s.passes_by_rows) == s.forward_passes);
          CHECK(branch_rows * static_cast<std::int64_t>(request.guidance.size() + 1) == s.rows);
          CHECK(picture.host_seconds >= 0.0);
        });
      }
    }
  });
}

TEST_CASE("tokens a pass is tokens over passes") {
  TableHost host{{.vocab = 4}};
  const auto picture = CoupledSjd<TableHost>{host}.generate({.tokens = 50});
  CHECK(picture.tokens_per_pass() == 50.0 / static_cast<double>(picture.statistics.forward_passes));
  CHECK(GenerationResult{}.tokens_per_pass() == 0.0);
}

}  // namespace sjd::test
