#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Code in README.md and docs/ that says where it comes from must equal what stands there between
# [begin] and [end]: check_quotes.sh ROOT [--update]
#
# A quotation is a line <!-- quote: PATH --> and the fenced block behind it.
set -euo pipefail
root=$1
failures=0

# The page $1 with every quotation as it should be.
requote() {
  awk -v root="$root" '
    /^<!-- quote: .* -->$/ { path = $3 }
    inside && /^```/ { inside = 0; path = "" }
    inside { next }
    { print }
    path != "" && /^```/ {
      inside = 1
      file = root "/" path
      quoting = found = 0
      while ((getline line < file) > 0) {
        if (line ~ /\[end\]/) quoting = 0
        if (quoting) { print line; found = 1 }
        if (line ~ /\[begin\]/) quoting = 1
      }
      close(file)
      if (!found) print "nothing is marked in " path
    }' "$1"
}

for page in "$root"/README.md "$root"/docs/*.md "$root"/docs/*/*.md; do
  [ -e "$page" ] || continue
  if [ "${2:-}" = --update ]; then
    requote "$page" >"$page.new"
    cmp -s "$page" "$page.new" && rm "$page.new" || mv "$page.new" "$page"
  elif ! diff "$page" <(requote "$page"); then
    echo "FAILED: $page quotes other code than its file holds; --update mends it"
    failures=$((failures + 1))
  fi
done
echo "$failures pages quote code wrongly"
[ "$failures" = 0 ]
