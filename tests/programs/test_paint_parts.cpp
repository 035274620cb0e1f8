// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "compositions.hpp"
#include "exit_codes.hpp"
#include "flags.hpp"
#include "png.hpp"
#include "raster.hpp"
#include "statistics.hpp"
#include "support/catch.hpp"
#include "words.hpp"

using namespace sjd;

TEST_CASE("edit distance counts insertions, deletions, changes and swaps") {
  CHECK(paint::edit_distance("apple", "apple") == 0);
  CHECK(paint::edit_distance("", "cat") == 3);
  CHECK(paint::edit_distance("aple", "apple") == 1);
  CHECK(paint::edit_distance("appel", "apple") == 1);
  CHECK(paint::edit_distance("kitten", "sitting") == 3);
}

TEST_CASE("a plural finds its singular and nothing further away") {
  const std::vector<std::string> known{"apple", "cherry", "happy", "knife", "leaf", "fox"};
  CHECK(paint::nearby_words("apples", known) == std::vector<std::string>{"apple"});
  CHECK(paint::nearby_words("cherries", known) == std::vector<std::string>{"cherry"});
  CHECK(paint::nearby_words("leaves", known) == std::vector<std::string>{"leaf"});
  CHECK(paint::nearby_words("knives", known) == std::vector<std::string>{"knife"});
  CHECK(paint::nearby_words("foxes", known) == std::vector<std::string>{"fox"});
  CHECK(paint::nearby_words("zzzzzz", known).empty());
}

TEST_CASE("a prompt names its file") {
  CHECK(paint::file_stem("Red apple!") == "red-apple");
  CHECK(paint::file_stem("../../etc/passwd") == "etc-passwd");
  CHECK(paint::file_stem("!!!") == "picture");
  CHECK(paint::file_stem(std::string(300, 'a')).size() == 80);
  CHECK(paint::file_stem(std::string(79, 'a') + "\xc3\xa9") == std::string(79, 'a'));
}

TEST_CASE("options are told apart from words") {
  std::string value;
  const std::vector<paint::Flag> flags{
      {"--seed", true, [&](const std::string& text) { value = text; }, "-s"}};
  const auto words = [&](std::vector<std::string> line) { return paint::parse_flags(line, flags); };
  CHECK(words({"a", "--seed", "3", "b"}) == std::vector<std::string>{"a", "b"});
  CHECK(value == "3");
  CHECK(words({"--seed=4=5"}).empty());
  CHECK(value == "4=5");
  CHECK(words({"-s", "6", "--", "--seed", "-"}) == std::vector<std::string>{"--seed", "-"});
  CHECK_THROWS_AS(words({"--sed", "1"}), paint::UsageError);
  CHECK_THROWS_AS(paint::integer_value("--n", "3x", 0, 9), paint::UsageError);
  CHECK_THROWS_AS(paint::real_value("--x", "inf", 0.0, 9.0), paint::UsageError);
}

TEST_CASE("a contact sheet has gaps between and around its pictures") {
  const std::vector<paint::Raster> cells(3, paint::Raster{4, 2, {9, 9, 9}});
  const paint::Raster sheet = paint::contact_sheet(cells, 2, 1);
  CHECK(sheet.width == 11);
  CHECK(sheet.height == 7);
  CHECK(sheet.at(0, 0) == paint::sheet_colour);
  CHECK(sheet.at(1, 1) == paint::Rgb{9, 9, 9});
  CHECK(sheet.at(6, 4) == paint::sheet_colour);  // the fourth cell is empty
  CHECK(paint::contact_sheet({cells.data(), 1}, 2, 1).width == 4);
  CHECK(paint::upscale(cells[0], 3).rgb.size() == 12 * 6 * 3);
}

TEST_CASE("a sheet is square, and narrower or wider where it would be too large") {
  const auto layout = [](const paint::SheetContent& content, std::int64_t most) {
    const paint::SheetLayout found = paint::sheet_layout(content, most);
    return std::vector{found.columns, found.width, found.height};
  };
  using Numbers = std::vector<std::int64_t>;
  CHECK(layout({1, 1, 4, 2, 1}, 100) == Numbers{1, 4, 2});  // alone, without a frame
  CHECK(layout({3, 1, 4, 2, 1}, 100) == Numbers{2, 11, 7});
  CHECK(layout({9, 1, 4, 2, 1}, 16) == Numbers{3, 16, 10});
  CHECK(layout({9, 1, 4, 2, 1}, 15) == Numbers{2, 11, 16});  // neither fits
  CHECK(layout({4, 1, 6, 2, 1}, 14) == Numbers{1, 8, 13});
  CHECK(layout({4, 1, 2, 6, 1}, 14) == Numbers{4, 13, 8});
  CHECK(layout({9, 1, 4, 2, 1}, 3) == Numbers{1, 6, 28});    // one is too wide already
  CHECK(layout({9, 2, 4, 2, 1}, 30) == Numbers{4, 21, 16});  // pairs stay together
}

TEST_CASE("sheets of the shipped model's pictures: the most that a PNG holds") {
  constexpr std::int64_t side = paint::largest_png_side;
  const auto holds = [](std::int64_t count, std::int64_t decoders, std::int64_t upscale) {
    const paint::SheetLayout sheet =
        paint::sheet_layout({count, decoders, 64 * upscale, 64 * upscale, 2 * upscale}, side);
    CHECK(sheet.columns % decoders == 0);
    return sheet.width <= side && sheet.height <= side;
  };
  CHECK(holds(225, 1, 16));
  CHECK_FALSE(holds(226, 1, 16));
  CHECK(holds(256, 1, 15));
  CHECK(holds(50, 2, 16));
  CHECK(holds(105, 2, 16));
  CHECK_FALSE(holds(106, 2, 16));
  CHECK(holds(256, 2, 8));
}

TEST_CASE("every composition but the ungated one promises to be lossless") {
  for (const paint::Composition& entry : paint::compositions()) {
    CAPTURE(entry.name);
    CHECK(entry.is_lossless == (entry.name != "sjd2-ungated"));
    CHECK(paint::find_composition(entry.baseline) != nullptr);
    CHECK(paint::find_composition(entry.decoder, entry.coupling) == &entry);
    if (entry.coupling == "gumbel") CHECK(entry.equals_ar);
  }
  CHECK(paint::find_composition("sjd2", "")->name == "sjd2-corrected");
  CHECK(paint::find_composition("ar", "")->name == "ar");
}

TEST_CASE("the bound of the gate at the settings that are known") {
  const paint::Composition& sjd2 = *paint::find_composition("sjd2");
  paint::Plan plan;
  plan.window = 96;
  plan.levels = 20;
  CHECK(paint::pass_bound(sjd2, plan, 256) == Approx(3.7).margin(0.05));
}

TEST_CASE("the bootstrap interval holds the ratio and shrinks to it") {
  const std::vector<double> tokens(50, 256.0);
  const std::vector<double> passes(50, 64.0);
  const bench::Interval exact = bench::ratio_interval(tokens, passes);
  CHECK(exact.low == Approx(4.0));
  CHECK(exact.high == Approx(4.0));
  std::vector<double> varied = passes;
  for (std::size_t i = 0; i < varied.size(); ++i) varied[i] += static_cast<double>(i % 5) * 10.0;
  const bench::Interval wide = bench::ratio_interval(tokens, varied);
  CHECK(wide.low < 256.0 / 84.0);
  CHECK(wide.high > 256.0 / 84.0);
  CHECK(bench::quantile({4.0, 1.0, 3.0, 2.0}, 0.5) == Approx(2.5));
  CHECK(std::isnan(bench::quantile({}, 0.5)));
}
