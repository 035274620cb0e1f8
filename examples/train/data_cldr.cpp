// SPDX-License-Identifier: Apache-2.0
#include <libxml/parser.h>
#include <libxml/tree.h>

#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <stdexcept>

#include "data_captions.hpp"

namespace sjd::train {
namespace {

struct Entry {
  std::string name;
  std::string keywords;  // "a | b c | d"
};

std::string attribute(xmlNode* node, const char* name) {
  xmlChar* value = xmlGetProp(node, reinterpret_cast<const xmlChar*>(name));
  std::string text = value == nullptr ? "" : reinterpret_cast<const char*>(value);
  xmlFree(value);
  return text;
}

std::string content(xmlNode* node) {
  xmlChar* value = xmlNodeGetContent(node);
  std::string text = value == nullptr ? "" : reinterpret_cast<const char*>(value);
  xmlFree(value);
  return text;
}

void replace_all(std::string& inout_text, std::string_view from, std::string_view to) {
  for (auto at = inout_text.find(from); at != std::string::npos;
       at = inout_text.find(from, at + to.size())) {
    inout_text.replace(at, from.size(), to);
  }
}

std::string with_ascii_punctuation(std::string text) {
  constexpr std::array<std::array<const char*, 2>, 7> pairs{{{"\u2018", "'"},
                                                             {"\u2019", "'"},
                                                             {"\u201c", "\""},
                                                             {"\u201d", "\""},
                                                             {"\u2013", "-"},
                                                             {"\u2014", "-"},
                                                             {"\u2026", "..."}}};
  for (const auto& [from, to] : pairs) replace_all(text, from, to);
  return text;
}

std::vector<std::string> split_keywords(const std::string& text) {
  std::vector<std::string> keywords;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t bar = std::min(text.find('|', begin), text.size());
    const std::size_t first = text.find_first_not_of(' ', begin);
    const std::size_t last = text.find_last_not_of(' ', bar == 0 ? 0 : bar - 1);
    if (first < bar && last >= first) keywords.push_back(text.substr(first, last - first + 1));
    begin = bar + 1;
  }
  return keywords;
}

/// "1f468-200d-1f680" for valid UTF-8, which libxml2 has checked.
std::string codepoints_of(std::string_view emoji) {
  std::string list;
  for (std::size_t at = 0; at < emoji.size();) {
    const auto lead = static_cast<unsigned char>(emoji[at]);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    unsigned point = length == 1 ? lead : lead & (0xffU >> (length + 1));
    for (std::size_t next = 1; next < length; ++next) {
      point = (point << 6U) | (static_cast<unsigned char>(emoji[at + next]) & 0x3fU);
    }
    std::array<char, 16> hex{};
    std::snprintf(hex.data(), hex.size(), "%s%x", list.empty() ? "" : "-", point);
    list += hex.data();
    at += length;
  }
  return list;
}

void read_annotations(const std::filesystem::path& path, std::map<std::string, Entry>& entries) {
  const std::unique_ptr<xmlDoc, decltype(&xmlFreeDoc)> document(
      xmlReadFile(path.c_str(), nullptr, XML_PARSE_NONET | XML_PARSE_NOERROR), &xmlFreeDoc);
  if (document == nullptr) throw std::runtime_error(path.string() + ": not a readable XML file");
  const auto named = [](const xmlNode* node, const char* name) {
    return xmlStrEqual(node->name, reinterpret_cast<const xmlChar*>(name)) != 0;
  };
  for (xmlNode* list = xmlDocGetRootElement(document.get())->children; list != nullptr;
       list = list->next) {
    if (!named(list, "annotations")) continue;
    for (xmlNode* node = list->children; node != nullptr; node = node->next) {
      if (!named(node, "annotation")) continue;
      Entry& entry = entries[attribute(node, "cp")];
      const bool is_name = attribute(node, "type") == "tts";
      (is_name ? entry.name : entry.keywords) = with_ascii_punctuation(content(node));
    }
  }
}

}  // namespace

std::vector<Caption> read_cldr(const std::filesystem::path& cldr) {
  std::map<std::string, Entry> entries;
  read_annotations(cldr / "annotations" / "en.xml", entries);
  read_annotations(cldr / "annotationsDerived" / "en.xml", entries);
  std::vector<Caption> captions;
  for (const auto& [emoji, entry] : entries) {
    if (entry.name.empty()) continue;
    captions.push_back({emoji, codepoints_of(emoji), entry.name, split_keywords(entry.keywords),
                        family_of(entry.name), ""});
  }
  return captions;
}

}  // namespace sjd::train
