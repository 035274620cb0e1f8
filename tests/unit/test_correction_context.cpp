// SPDX-License-Identifier: Apache-2.0
// What a corrector may see: tokens to the left, now and in the last pass, and nothing else.
#include "sjd/policies/corrector.hpp"
#include "support/catch.hpp"

namespace sjd::test {
namespace {

Slot draft(TokenId token, std::int32_t level = 0) {
  return {.level = level, .token = token, .law = TokenLaw::point(token)};
}

/// Three tokens stood, four drafts were fed; two of them were committed, two have new tokens.
struct Pass {
  DecoderState before;
  DecoderState now;
  Pass() {
    before.tokens = {10, 11, 12};
    before.window = {draft(20), draft(21, 1), draft(22), draft(23)};
    now.tokens = {10, 11, 12, 20, 31};
    now.window = {draft(20), draft(21), draft(42), draft(43)};
  }
  [[nodiscard]] CorrectionContext context(std::int64_t index) const {
    return {before, now, index, 2, {}};
  }
};

}  // namespace

TEST_CASE("a correction knows where its draft stands") {
  const Pass pass;
  for (const std::int64_t index : {2, 3}) {
    CHECK(pass.context(index).position() == 3 + index);
    CHECK(pass.context(index).row() == index);
    CHECK(pass.context(index).distance() == index - 1);
  }
}

TEST_CASE("the tokens left of a draft as they stand now") {
  const Pass pass;
  const CorrectionContext first = pass.context(2);  // position 5
  const TokenId expected[] = {31, 20, 12, 11, 10};
  for (std::int64_t offset = 1; offset <= 5; ++offset) {
    CHECK(first.now(offset) == expected[offset - 1]);
  }
  CHECK(pass.context(3).now(1) == 42);
  CHECK(pass.context(3).now(2) == 31);
  for (const std::int64_t nothing : {-3, -1, 0, 6, 7}) CHECK(first.now(nothing) == -1);
}

TEST_CASE("the tokens left of a draft as the last pass was fed them") {
  const Pass pass;
  const CorrectionContext last = pass.context(3);  // position 6
  // The draft at position 4 was fed as noise.
  const TokenId expected[] = {22, -1, 20, 12, 11, 10};
  for (std::int64_t offset = 1; offset <= 6; ++offset) {
    CHECK(last.before(offset) == expected[offset - 1]);
  }
  for (const std::int64_t nothing : {-3, -1, 0, 7, 8}) CHECK(last.before(nothing) == -1);
}

}  // namespace sjd::test
