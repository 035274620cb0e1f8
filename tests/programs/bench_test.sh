#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What bench promises to the shell: bench_test.sh BENCH WRITE_MODEL
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/expect.sh"
begin "$@"
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
says out.txt "guidance 3, batch 1; the true pictures of these prompts:"
says out.txt "guidance 1, batch 1;"
[ "$(grep -c "^sjd2-maximal .*lossless" out.txt)" = 8 ] || fail "not every window and level"
grep -F '[' out.txt | grep -E '^(ar|sjd)' | grep -qvE 'lossless|LOSSY' &&
  fail "a row hides whether it is lossless"
says numbers.json '"tokens_per_pass_95"'
says numbers.json '"library_ms_per_pass"'
says numbers.json '"corrector_ms_per_pass"'

expect 0 bench --full --prompts 1 --guidance 1 --window 5 --levels 1 --split train --no-score
says out.txt "LOSSY"
expect 0 bench --prompts 2 --guidance 1 --only sjd2 --window 5,6 --levels 5 --temperature 0.7

# Costs: measured by one command, read back, and rows by cost beside the others.
expect 0 bench --write-costs costs.json
says out.txt "8 tables"
says costs.json '"format":"sjd-costs"'
[ "$(grep -c '"survival"' costs.json)" = 8 ] || fail "costs.json has not eight tables"
expect 0 bench --prompts 5 --batch 1,3 --guidance 1 --only sjd2-maximal --window auto,6 \
  --levels 1 --no-score --costs costs.json --json numbers.json
[ "$(grep -c '^sjd2-maximal  *~[0-9]' out.txt)" = 2 ] || fail "no row by cost in both tables"
[ "$(grep -c '^sjd2-maximal  *6 ' out.txt)" = 2 ] || fail "no fixed row beside it"
says out.txt "guidance 1, batch 3"
says numbers.json '"window": "auto"'
says numbers.json '"mean_window"'
expect 64 bench --prompts 2 --guidance 1 --only sjd2-maximal --window auto --levels 1 --no-score
one_line err.txt
says err.txt "--window auto: costs are needed, and there is no"
says err.txt "--write-costs FILE measures them"
expect 0 bench --prompts 1 --guidance 1 --only sjd2-maximal --levels 1 --no-score
says out.txt "no row of sjd2-maximal by cost: there is no"
[ "$(grep -c '^sjd2-maximal  *~' out.txt)" = 0 ] || fail "a row by cost without costs"
expect 0 bench --prompts 1 --guidance 1 --only sjd2-maximal --levels 1 --no-score --costs costs.json
[ "$(grep -c '^sjd2-maximal  *~' out.txt)" = 1 ] || fail "no row by cost beside costs"
grep -qF "no row of" out.txt && fail "a row by cost is said to be missing"
expect 74 bench --costs /nowhere.json --prompts 1
expect 74 bench --write-costs /nowhere/costs.json
expect 64 bench --window fast
says err.txt "auto or a whole number in 1 .. 4096"

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
