#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The ledger adds up: two runs are one run of their sum, another core begins at 0, a law that is not
# the registered one fails.
set -euo pipefail
run="$1/run"
program="$2"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }

# 17 statistics of 3, 4 or 5 tokens: 3000 tokens of each are whole pictures of all.
"$run" --program "$program" --ledger "$scratch/two" --tokens 51000 > "$scratch/first" 2>/dev/null
"$run" --program "$program" --ledger "$scratch/two" --tokens 51000 > "$scratch/second" 2>/dev/null
"$run" --program "$program" --ledger "$scratch/one" --tokens 102000 > "$scratch/whole" 2>/dev/null
cmp "$scratch/two" "$scratch/one" || fail "two runs are not one run of their sum"
cmp "$scratch/second" "$scratch/whole" || fail "two runs report something else than one"
grep -q "^L3 | ledger of core .* 51000 tokens |" "$scratch/first" || fail "the tokens of the first run"
grep -q "^L3 | ledger of core .* 102000 tokens |" "$scratch/second" || fail "the tokens of both runs"

# What other headers drew is kept and not counted.
core="$("$run" --core)"
sed "s/$core/0123456789abcdef/" "$scratch/one" > "$scratch/other"
"$run" --program "$program" --ledger "$scratch/other" --tokens 51000 > "$scratch/third" 2>/dev/null
grep -q "^L3 | ledger of core $core | .* 51000 tokens |" "$scratch/third" || fail "old counts were used"
[ "$(grep -c 0123456789abcdef "$scratch/other")" -eq 17 ] || fail "old entries were lost"

# All counts of one statistic in one cell: no law of the plan looks like that.
sed 's/"counts":\[[0-9]*,/"counts":[100000,/' "$scratch/one" > "$scratch/bent"
if "$run" --program "$program" --ledger "$scratch/bent" --tokens 51000 > "$scratch/bad" 2>&1; then
  fail "counts far from the law were accepted"
fi
grep -q "fails its law" "$scratch/bad" || fail "the failure has another reason: $(tail -n 1 "$scratch/bad")"

if "$program" "$1/plan.json" "$scratch/none" 0123456789abcdef 0 2> "$scratch/refused"; then
  fail "a program of other headers was used"
fi
grep -q "other headers" "$scratch/refused" || fail "the refusal has another reason"
if "$run" --program "$program" --tokens many > /dev/null 2>&1; then fail "a number was expected"; fi
echo "the ledger adds up"
