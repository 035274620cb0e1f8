// SPDX-License-Identifier: Apache-2.0
#include "costs.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sjd/core/error.hpp>
#include <sjd/hosts/json.hpp>
#include <utility>

namespace sjd::paint {
namespace {

using hosts::JsonField;

WindowCosts known_of(const CostTable& table, std::int32_t levels) {
  return {.costs = table.costs,
          .survival = table.survival,
          .warm_up = std::max<std::int64_t>(1, levels),
          .frozen = true};
}

CostTable read_table(const JsonField& json) {
  json.only({"batch", "branches", "rows", "seconds", "survival"});
  CostTable table;
  table.batch = json["batch"].integer(1, 4096);
  table.branches = json["branches"].integer(1, 1025);
  const std::vector<JsonField> rows = json["rows"].items();
  const std::vector<JsonField> seconds = json["seconds"].items();
  if (rows.size() != seconds.size()) json["seconds"].refuse("is not one number for each of rows");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    table.costs.push_back({rows[i].integer(1, 4096), seconds[i].real(1e-9, 1e6)});
  }
  for (const JsonField& item : json["survival"].items()) {
    table.survival.push_back(item.real(0.0, 1.0));
  }
  try {
    CostAwareWindow{known_of(table, 1)}.validate();
  } catch (const Error& error) {
    json.refuse(error.what());
  }
  return table;
}

/// Of the sizes in use the smallest one that is not below `wanted`, else the largest.
template <class Size>
std::int64_t fitting_size(const std::vector<CostTable>& tables, std::int64_t wanted, Size&& size) {
  std::int64_t largest = 0;
  std::int64_t fitting = 0;
  for (const CostTable& table : tables) {
    const std::int64_t found = size(table);
    largest = std::max(largest, found);
    if (found >= wanted && (fitting == 0 || found < fitting)) fitting = found;
  }
  return fitting > 0 ? fitting : largest;
}

}  // namespace

CostFile read_costs(const std::filesystem::path& path) {
  const JsonField json = JsonField::read(path);
  json.only({"format", "version", "machine", "date", "threads", "composition", "tables"});
  if (json["format"].text() != "sjd-costs") json["format"].refuse("is not \"sjd-costs\"");
  static_cast<void>(json["version"].integer(1, 1));
  CostFile file;
  file.machine = json["machine"].text();
  file.date = json["date"].text();
  file.threads = json["threads"].integer(1, 1 << 20);
  file.composition = json["composition"].text();
  for (const JsonField& item : json["tables"].items()) {
    CostTable table = read_table(item);
    for (const CostTable& other : file.tables) {
      if (other.batch == table.batch && other.branches == table.branches) {
        item.refuse("has the batch and branches of a table before");
      }
    }
    file.tables.push_back(std::move(table));
  }
  if (file.tables.empty()) json["tables"].refuse("has no table");
  return file;
}

std::string costs_text(const CostFile& file) {
  nlohmann::ordered_json head;
  head["format"] = "sjd-costs";
  head["version"] = 1;
  head["machine"] = file.machine;
  head["date"] = file.date;
  head["threads"] = file.threads;
  head["composition"] = file.composition;
  std::string text = head.dump();
  text.back() = ',';
  text += "\n\"tables\": [";
  for (std::size_t i = 0; i < file.tables.size(); ++i) {
    const CostTable& table = file.tables[i];
    nlohmann::ordered_json line;
    line["batch"] = table.batch;
    line["branches"] = table.branches;
    for (const CostPoint& point : table.costs) {
      line["rows"].push_back(point.rows);
      line["seconds"].push_back(point.cost);
    }
    line["survival"] = table.survival;
    text += (i == 0 ? "\n" : ",\n") + line.dump();
  }
  return text + "\n]}\n";
}

CostAwareWindow plan_window(const CostFile& file, std::int64_t batch, std::int64_t branches,
                            std::int32_t levels) {
  std::vector<CostTable> tables = file.tables;
  const auto keep = [&](std::int64_t wanted, auto&& size) {
    const std::int64_t fitting = fitting_size(tables, wanted, size);
    std::erase_if(tables, [&](const CostTable& table) { return size(table) != fitting; });
  };
  keep(branches, [](const CostTable& table) { return table.branches; });
  keep(batch, [](const CostTable& table) { return table.batch; });
  return CostAwareWindow{known_of(tables.front(), levels)};
}

}  // namespace sjd::paint
