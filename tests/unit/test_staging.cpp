// SPDX-License-Identifier: Apache-2.0
// A buffer between library and model: sizes that cannot be counted, and rows that were not written.
#include <limits>
#include <string>

#include "sjd/core/staging.hpp"
#include "support/catch.hpp"

namespace sjd::test {
namespace {

struct HostModel {
  using Memory = HostMemory;
};

}  // namespace

TEST_CASE("a buffer whose size cannot be counted is refused and left empty") {
  HostModel model;
  detail::StagedBuffer<HostModel> buffer{model};
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  const auto refused = [&](std::int64_t rows, std::int64_t columns) {
    buffer.reshape(2, 3);
    try {
      buffer.reshape(rows, columns);
      FAIL("a buffer of " << rows << " x " << columns);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::out_of_memory);
      CHECK(std::string{error.what()}.find(std::to_string(rows) + " rows of ") !=
            std::string::npos);
    }
    CHECK(buffer.host().rows == 0);
  };
  refused(-1, 3);
  refused(3, -1);
  refused(huge, 2);
  refused(huge / 4, 2);  // the bytes alone overflow
}

TEST_CASE("the first row that a model left unwritten is found") {
  HostModel model;
  detail::StagedBuffer<HostModel> buffer{model};
  buffer.reshape(4, 3);
  CHECK(buffer.unwritten() == 0);
  for (std::int64_t row = 0; row < 4; ++row) {
    for (float& x : buffer.host().row(row)) x = 1.0F;
    CHECK(buffer.unwritten() == (row == 3 ? -1 : row + 1));
  }
  buffer.reshape(4, 3);
  CHECK(buffer.unwritten() == 0);
  buffer.reshape(0, 3);
  CHECK(buffer.unwritten() == -1);
}

}  // namespace sjd::test
