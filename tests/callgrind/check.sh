#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Instructions per element of the row path against the committed ones:
#   check.sh PROGRAM COMPILER [--write]
# A case that needs over 5 % more than expected.txt says fails; one that needs over 5 % less asks for
# the file to be written anew (--write). COMPILER is that of expected.txt, else there is nothing to
# compare with. Exit code 77: skipped.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$1
compiler=$2
expected=$here/expected.txt
command -v valgrind >/dev/null || { echo "skipped: valgrind is not installed"; exit 77; }
if [ "${3:-}" != --write ] && ! grep -qx "compiler $compiler" "$expected"; then
  echo "skipped: $(head -n 1 "$expected"), this is $compiler"
  exit 77
fi

# Instructions of a run of CASE with that many times.
instructions() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" "$3" 2>&1 >/dev/null |
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

status=0
lines="compiler $compiler"
for set in scalar avx2; do
  for name in top-k top-p no-filter residual denoise; do
    elements=$("$program" "$set" "$name" 1 | cut -d ' ' -f 1) || { echo "$set: not on this machine"; continue; }
    few=$(instructions "$set" "$name" 2)
    many=$(instructions "$set" "$name" 10)
    each=$(awk -v a="$few" -v b="$many" -v n="$elements" 'BEGIN { printf "%.3f", (b - a) / 8 / n }')
    lines+=$'\n'"$set $name $each"
    known=$(awk -v s="$set" -v c="$name" '$1 == s && $2 == c { print $3 }' "$expected" 2>/dev/null || true)
    verdict=$(awk -v is="$each" -v was="${known:-0}" 'BEGIN {
      print (was == 0 ? "new" : (is > was * 1.05 ? "MORE" : (is < was * 0.95 ? "less" : "ok"))) }')
    echo "$set $name: $each instructions an element, expected ${known:-nothing}: $verdict"
    case $verdict in
      MORE | new) status=1 ;;
      less) echo "  write them anew: tests/callgrind/check.sh PROGRAM $compiler --write"; status=1 ;;
    esac
  done
done
if [ "${3:-}" = --write ]; then
  echo "$lines" > "$expected"
  exit 0
fi
exit $status
