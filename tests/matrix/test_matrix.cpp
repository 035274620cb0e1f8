// SPDX-License-Identifier: Apache-2.0
// Every lossless composition on every small instance: a fixed sample of them in the normal run, all
// of them in the long one.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>

#include "core_hash.hpp"
#include "matrix/matrix.hpp"

namespace sjd::test {
namespace {

constexpr std::uint64_t sampled = 1'000;  // points of a block in the normal run
constexpr long double exact = 1e-12L;

enum class Take : std::uint8_t { sample, all };

/// The table that a part of the long run is confined to, see tests/matrix/run; null for all tables.
const char* only_table() {
  return std::getenv("SJD_MATRIX_TABLE");
}

/// Calls use(point) for a fixed sample of a block, or for all of it; tables are its slowest axis.
template <class Use>
void for_each_point(Take take, bool noisy, bool corrected, std::uint64_t salt, Use&& use) {
  const MatrixPoint sizes = axis_sizes(noisy, corrected);
  const std::uint64_t points = points_of(sizes);
  if (take == Take::sample) {
    for (std::uint64_t i = 0; i < sampled; ++i) use(point_at(mix(salt + i) % points, sizes));
    return;
  }
  const std::uint64_t tables = only_table() == nullptr ? sizes[table] : 1;
  const std::uint64_t first = only_table() == nullptr ? 0 : std::stoull(only_table());
  REQUIRE(first + tables <= sizes[table]);
  const std::uint64_t of_a_table = points / sizes[table];
  for (std::uint64_t i = first * of_a_table; i < (first + tables) * of_a_table; ++i) {
    use(point_at(i, sizes));
  }
}

/// What one block came to.
struct Block {
  Tally tally;
  MatrixPoint worst_point{};
  long double sum = 0.0L;  ///< of all distances
};

template <class Acceptance, bool noisy, bool corrected>
Block enumerate_block(const std::string& name, std::uint64_t salt) {
  Block block{Tally{name + (noisy ? ", noise" : "") + (corrected ? ", corrector" : "")}};
  // What is lossy is measured, not proved: a sample will do.
  const bool all = Acceptance::is_lossless && std::getenv("SJD_TESTS_FULL") != nullptr;
  for_each_point(all ? Take::all : Take::sample, noisy, corrected, salt,
                 [&](const MatrixPoint& point) {
                   const long double before = block.tally.worst;
                   block.sum += enumerate_point<Acceptance, noisy, corrected>(point, block.tally);
                   if (block.tally.worst > before) block.worst_point = point;
                 });
  if (all && only_table() != nullptr) {
    block.tally.name += std::string{", table "} + only_table() + ", core " + core_hash;
  }
  if (Acceptance::is_lossless) block.tally.print();
  return block;
}

template <class Acceptance, bool noisy, bool corrected>
void check_block(const std::string& name, std::uint64_t salt) {
  const Block block = enumerate_block<Acceptance, noisy, corrected>("matrix: " + name, salt);
  INFO(block.tally.name << ", worst at " << text_of(block.worst_point));
  CHECK(block.tally.worst <= exact);
  CHECK(block.tally.instances >= static_cast<std::int64_t>(sampled));
}

}  // namespace

TEST_CASE("ratio test", "[matrix]") {
  check_block<SpeculativeAcceptance, false, false>("ratio test", 10'000);
}
TEST_CASE("ratio test, corrector", "[matrix]") {
  check_block<SpeculativeAcceptance, false, true>("ratio test", 20'000);
}
TEST_CASE("ratio test, noise", "[matrix]") {
  check_block<SpeculativeAcceptance, true, false>("ratio test", 30'000);
}
TEST_CASE("ratio test, noise, corrector", "[matrix]") {
  check_block<SpeculativeAcceptance, true, true>("ratio test", 40'000);
}
TEST_CASE("shared-noise equality", "[matrix]") {
  check_block<QuantileEquality, false, false>("quantile equality", 50'000);
}
TEST_CASE("shared-noise equality, corrector", "[matrix]") {
  check_block<QuantileEquality, false, true>("quantile equality", 60'000);
}
TEST_CASE("shared-noise equality, noise", "[matrix]") {
  check_block<QuantileEquality, true, false>("quantile equality", 70'000);
}
TEST_CASE("shared-noise equality, noise, corrector", "[matrix]") {
  check_block<QuantileEquality, true, true>("quantile equality", 80'000);
}
TEST_CASE("greedy equality", "[matrix]") {
  check_block<GreedyEquality, false, false>("greedy equality", 90'000);
  check_block<GreedyEquality, false, true>("greedy equality", 100'000);
}
TEST_CASE("greedy equality, noise", "[matrix]") {
  check_block<GreedyEquality, true, false>("greedy equality", 110'000);
  check_block<GreedyEquality, true, true>("greedy equality", 120'000);
}

TEST_CASE("the lossy criterion is measured and seen", "[matrix]") {
  for (const Block& block :
       {enumerate_block<UngatedAcceptance, true, false>("lossy: ungated", 130'000),
        enumerate_block<UngatedAcceptance, true, true>("lossy: ungated", 140'000)}) {
    const long double mean = block.sum / static_cast<long double>(block.tally.instances);
    print_layer(
        "L2", block.tally.name,
        std::to_string(block.tally.instances) + " instances, " + std::to_string(block.tally.paths) +
            " paths",
        "TV " + number_text(block.tally.worst, 1, 'e') + ", mean " + number_text(mean, 1, 'e'));
    CHECK(block.tally.worst > 0.1L);
  }
}

TEST_CASE("the sample meets every value of every axis", "[matrix]") {
  for (const bool noisy : {false, true}) {
    for (const bool corrected : {false, true}) {
      const MatrixPoint sizes = axis_sizes(noisy, corrected);
      for (std::uint64_t salt = 10'000; salt <= 140'000; salt += 10'000) {
        std::array<std::vector<int>, axes> seen;
        for (std::size_t axis = 0; axis < axes; ++axis) seen[axis].resize(sizes[axis]);
        for_each_point(Take::sample, noisy, corrected, salt, [&](const MatrixPoint& point) {
          for (std::size_t axis = 0; axis < axes; ++axis) seen[axis][point[axis]] += 1;
        });
        for (const std::vector<int>& counts : seen) {
          CHECK(std::all_of(counts.begin(), counts.end(), [](int n) { return n > 0; }));
        }
      }
    }
  }
}

}  // namespace sjd::test
