#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What bench promises to the shell: bench_test.sh BENCH WRITE_MODEL
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/expect.sh"
program=$1
writer=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$writer" model
export SJD_MODEL=$work/model
bench() { "$program" --threads 1 "$@"; }

expect 0 bench --help
says out.txt "--gallery DIR"

expect 0 bench --quick --prompts 3 --window 12,6 --levels 2,1 --json numbers.json
for name in ar sjd-maximal sjd2 sjd2-maximal; do
  [ "$(grep -c "^$name " out.txt)" -ge 2 ] || fail "no row of $name in both tables"
done
for name in ar-gumbel sjd-gumbel sjd2-gumbel; do
  [ "$(grep -c "^$name " out.txt)" = 1 ] || fail "no row of $name in the first table"
done
says out.txt "guidance 3; the true pictures of these prompts:"
says out.txt "guidance 1;"
[ "$(grep -c "^sjd2-maximal .*lossless" out.txt)" = 8 ] || fail "not every window and level"
grep -F '[' out.txt | grep -E '^(ar|sjd)' | grep -qvE 'lossless|LOSSY' &&
  fail "a row hides whether it is lossless"
says numbers.json '"tokens_per_pass_95"'
says numbers.json '"library_ms_per_pass"'
says numbers.json '"corrector_ms_per_pass"'

expect 0 bench --full --prompts 1 --guidance 1 --window 5 --levels 1 --split train --no-score
says out.txt "LOSSY"
expect 0 bench --prompts 2 --guidance 1 --only sjd2 --window 5,6 --levels 5 --temperature 0.7

expect 64 bench --levels 4
says err.txt "one of 1, 2, 3, 5"
expect 64 bench --split all
expect 64 bench words
expect 74 bench --json /nowhere/numbers.json

expect 0 bench --gallery gallery --guidance 1
for file in README.md hero.png train-1.png new-combinations-1.png new-concepts-1.png; do
  [ -s "gallery/$file" ] || fail "the gallery has no $file"
done
nothing_left
finish
