// SPDX-License-Identifier: Apache-2.0
// Structured bad files of paint: costs.json and files of prompts.
#include <algorithm>
#include <iostream>

#include "hostile/hostile_readers.hpp"
#include "hostile/json_fields.hpp"
#include "paint/costs.hpp"
#include "paint/prompt_file.hpp"

namespace sjd::test {
namespace {

const std::vector<Field> head{
    {"format", "\"sjd-costs\""}, {"version", "1"}, {"machine", "\"m\""},
    {"date", "\"d\""},           {"threads", "2"}, {"composition", "\"sjd2-maximal\""}};
const std::vector<Field> table{{"batch", "3"},
                               {"branches", "2"},
                               {"rows", "[1,4,16]"},
                               {"seconds", "[0.001,0.0011,0.0012]"},
                               {"survival", "[0.9,0.8]"}};

/// A cost file with one value replaced; `more` goes behind its first table.
std::string costs_with(const std::string& name, const std::string& value,
                       const std::string& more = "") {
  return "{" + text_of(head, name, value) + ",\"tables\":[{" + text_of(table, name, value) + "}" +
         more + "]}";
}

HostileReader costs_reader() {
  return {"costs.json", [](const std::filesystem::path& path) {
            const paint::CostFile file = paint::read_costs(path);
            static_cast<void>(paint::plan_window(file, 2, 2, 1));
          }};
}

/// What is no value of a member whose good value this is.
std::vector<std::string> bad_values(const std::string& good) {
  if (good.front() == '"') {
    return {"null", "1", "true", "[]", "{}", "\"\xff\"", "\"\\ud800\"", "[" + good + "]", "<drop>"};
  }
  if (good.front() != '[') {
    std::vector<std::string> values = bad_integers();
    values.insert(values.end(), {"<drop>", "0", "1e308", "-5"});
    return values;
  }
  return {"null", "1",     "true",   "{}",      "\"1\"",   "[null]", "[[1]]",
          "[-1]", "[1e7]", "[-1.5]", "[1e999]", "[\"1\"]", "<drop>"};
}

}  // namespace

TEST_CASE("hostile: costs.json with every field spoilt", "[hostile]") {
  HostileReader reader = costs_reader();
  const std::string good = costs_with("", "");
  reader.survive(good);
  REQUIRE(reader.accepted == 1);
  for (const std::vector<Field>* part : {&head, &table}) {
    for (const Field& member : *part) {
      for (const std::string& value : bad_values(member.good)) {
        reader.refuse(costs_with(member.name, value));
      }
      const std::string key = "\"" + member.name + "\":";
      reader.refuse(with(good, key, "\"" + member.name + "s\":"), member.name);
      reader.refuse(with(good, key + member.good, key + member.good + "," + key + member.good),
                    "stands twice");
    }
  }
  for (std::size_t size = 0; size < good.size(); ++size) reader.refuse(good.substr(0, size));
  std::cout << reader.summary() << "\n";
}

TEST_CASE("hostile: costs.json with numbers that are no plan", "[hostile]") {
  HostileReader reader = costs_reader();
  reader.refuse(costs_with("version", "2"), "version");
  reader.refuse(costs_with("batch", "4097"), "batch");
  reader.refuse(costs_with("branches", "1026"), "branches");
  reader.refuse(costs_with("threads", "1048577"), "threads");
  for (const char* rows : {"[]", "[1]", "[1,4]", "[1,4,16,32]"}) {
    reader.refuse(costs_with("rows", rows), "one number for each of rows");
  }
  for (const char* rows : {"[2,4,16]", "[1,1,16]", "[1,16,4]", "[4,1,16]"}) {
    reader.refuse(costs_with("rows", rows), "tables[0]");
  }
  for (const char* rows : {"[0,4,16]", "[1,4,4097]", "[1,4.5,16]", "[1,4,9223372036854775808]"}) {
    reader.refuse(costs_with("rows", rows));
  }
  for (const char* seconds : {"[1e-10,1,1]", "[1,1,1e7]", "[0,1,1]", "[-1,1,1]"}) {
    reader.refuse(costs_with("seconds", seconds), "seconds");
  }
  for (const char* seconds : {"[1e-9,1,1e6]", "[1,20000,1]", "[1e6,1,1]"}) {
    reader.refuse(costs_with("seconds", seconds), "times the cost of one row");
  }
  for (const char* survival : {"[0.5,0.6]", "[1.5]", "[-0.1]", "[0,0.1]"}) {
    reader.refuse(costs_with("survival", survival), "survival");
  }
  reader.refuse(with(costs_with("", ""), "{\"batch\"", "0,{\"batch\""), "tables[0]");
  reader.refuse("{" + text_of(head, "", "") + ",\"tables\":[]}", "has no table");
  reader.refuse(costs_with("", "", ",{" + text_of(table, "", "") + "}"), "of a table before");
  reader.refuse(std::string((1U << 20U) + 1, ' ') + costs_with("", ""), "is larger than");
  // A survival list may be empty or longer than the rows; 4096 rows are the most.
  for (const char* survival : {"[]", "[1,1,1]", "[0]", "[0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5]"}) {
    reader.survive(costs_with("survival", survival));
  }
  reader.survive(costs_with("rows", "[1,2,4096]"));
  CHECK(reader.accepted == 5);
  std::cout << reader.summary() << " (plans)\n";
}

TEST_CASE("hostile: costs.json with every byte changed", "[hostile]") {
  HostileReader reader = costs_reader();
  const std::string good = costs_with("", "");
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const char c :
         {'\0', '"', '{', '}', '[', ']', ',', ':', '0', '9', '-', '.', 'e', '\xff'}) {
      std::string bad = good;
      bad[at] = c;
      reader.survive(bad);
    }
    reader.survive(std::string{good}.erase(at, 1));
  }
  CHECK(reader.survived > 1'000);
  std::cout << reader.summary() << " (bytes)\n";
}

TEST_CASE("hostile: files of prompts", "[hostile]") {
  std::vector<paint::PromptLine> lines;
  HostileReader reader{"prompt file", [&](const std::filesystem::path& path) {
                         lines = paint::read_prompts(path).lines;
                       }};
  for (const char* blank : {"", "\n", "\r\n", " ", "\t \n\n \r\n", "\n\n\n"}) {
    reader.refuse(blank, "holds no prompt");
  }
  // 64 MiB are the most, and are not read to find that out.
  reader.refuse(std::string((64U << 20U) + 1, '\n'), "is larger than");
  const auto read = [&](const std::string& bytes) {
    lines.clear();
    reader.survive(bytes);
    std::string text;
    for (const paint::PromptLine& line : lines) {
      text += std::to_string(line.number) + "<" + line.prompt + ">";
    }
    return text;
  };
  CHECK(read("red apple") == "1<red apple>");
  CHECK(read("a\nb\r\n\n \nc\r\r\n") == "1<a>2<b>5<c\r>");
  CHECK(read("\xEF\xBB\xBFred") == "1<\xEF\xBB\xBFred>");
  CHECK(read(std::string{"a\0b\nc", 5}) == std::string{"1<a\0b>2<c>", 10});
  for (const std::string& broken : broken_utf8()) {
    // What a line holds is the tokenizer's to judge, with its place.
    CHECK(read("x\n" + broken + "\ny") == "1<x>2<" + broken + ">3<y>");
  }
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "a\n";
  static_cast<void>(read(many));
  CHECK(lines.size() == 100'000);
  CHECK(lines.back().number == 100'000);
  static_cast<void>(read(std::string(1U << 20U, 'a')));
  CHECK(lines.size() == 1);
  CHECK(reader.survived == 0);
  std::cout << reader.summary() << "\n";
}

}  // namespace sjd::test
