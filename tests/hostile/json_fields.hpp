// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace sjd::test {

/// A member of a JSON object, and a value that its reader takes.
struct Field {
  std::string name;
  std::string good;
};

/// The members of an object with the value of one replaced, or the member left out: "<drop>".
inline std::string text_of(const std::vector<Field>& fields, const std::string& name,
                           const std::string& value) {
  std::string text;
  for (const Field& f : fields) {
    if (f.name == name && value == "<drop>") continue;
    text += (text.empty() ? "" : ",") + ("\"" + f.name + "\":") + (f.name == name ? value : f.good);
  }
  return text;
}

}  // namespace sjd::test
