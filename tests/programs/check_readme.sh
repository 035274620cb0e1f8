#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The first C++ block of README.md compiles: check_readme.sh ROOT COMPILER
set -euo pipefail
root=$1
compiler=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk '/^```cpp/ { inside = 1; next } inside && /^```/ { exit } inside' "$root/README.md" \
  >"$work/readme.cpp"
lines=$(grep -c . "$work/readme.cpp")
"$compiler" -std=c++20 -fsyntax-only -Wall -Wextra -Werror -I "$root/include" -I "$here/readme" \
  "$work/readme.cpp"
echo "$lines lines compile"
