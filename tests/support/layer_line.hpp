// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <string>

namespace sjd::test {

/// Prints one row of the table that tests/run ends with.
inline void print_layer(const std::string& layer, const std::string& what,
                        const std::string& how_many, const std::string& worst) {
  std::printf("%s | %s | %s | %s\n", layer.c_str(), what.c_str(), how_many.c_str(), worst.c_str());
  std::fflush(stdout);
}

/// A number as printf's %.*Lg or, with 'e', %.*Le writes it.
inline std::string number_text(long double value, int digits = 3, char form = 'g') {
  char text[64];
  std::snprintf(text, sizeof text, form == 'e' ? "%.*Le" : "%.*Lg", digits, value);
  return text;
}

}  // namespace sjd::test
