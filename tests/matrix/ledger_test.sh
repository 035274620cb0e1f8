#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Parts of the matrix are noted once, go on where they stopped, and count for their core alone.
set -euo pipefail
run="$1/run"
program="$2"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
parts() { "$run" --ledger "$scratch/ledger" --block "greedy equality" "$@"; }
core="$("$1/../stat/run" --core)"

parts --program "$program" --long 2 > "$scratch/first"
grep -q '^L2 | matrix ledger of core .* parts | [1-9][0-9]* instances' "$scratch/first" || fail "the first run noted nothing"

# The rest by a program that only says what the real one would.
cat > "$scratch/quick" <<TEXT
#!/bin/sh
echo "L2 | matrix: greedy equality, table \$SJD_MATRIX_TABLE, core $core | 5 instances, 3000000000 paths | TV 1.5e-19"
echo "\$SJD_MATRIX_TABLE \$SJD_TESTS_FULL \$1" >> "$scratch/calls"
TEXT
chmod +x "$scratch/quick"
parts --program "$scratch/quick" --long 60 --jobs 2 > "$scratch/all"
grep -q ', 20 of 200 parts | ' "$scratch/all" || fail "not all parts of the block: $(cat "$scratch/all")"
real=$(grep -c '"block":"greedy equality, corrector"' "$scratch/ledger")
paths=0
for n in $(sed -n 's/.*"paths":\([0-9]*\),.*/\1/p' "$scratch/ledger"); do paths=$((paths + n)); done
grep -q " instances, $paths paths | " "$scratch/all" || fail "not $paths paths: $(cat "$scratch/all")"
calls=$(grep -c ' 1 greedy equality$' "$scratch/calls")
[ $((real + calls)) -eq 20 ] || fail "$real parts and $calls calls are not 20 parts"
parts --program "$scratch/quick" --long 60 > "$scratch/again"
[ "$(wc -l < "$scratch/calls")" -eq "$calls" ] || fail "a part was done twice"
cmp "$scratch/all" "$scratch/again" || fail "the same ledger adds up to something else"

sed -i "s/$core/0123456789abcdef/" "$scratch/ledger"
parts > "$scratch/other"
grep -q ', 0 of 200 parts | 0 instances' "$scratch/other" || fail "parts of another core were counted"

printf '#!/bin/sh\necho "L2 | matrix: x, table 0, core 0123456789abcdef | 1 instances, 1 paths | TV 0"\n' > "$scratch/old"
printf '#!/bin/sh\necho "the laws differ"; exit 1\n' > "$scratch/wrong"
chmod +x "$scratch/old" "$scratch/wrong"
for bad in old wrong; do
  if "$run" --program "$scratch/$bad" --ledger "$scratch/none" --long 5 > /dev/null 2> "$scratch/refused"; then
    fail "a program that is $bad was used"
  fi
  [ ! -e "$scratch/none" ] || fail "a part that failed was noted"
done
grep -q "the laws differ" "$scratch/refused" || fail "the failure does not say why"
if "$run" --long many > /dev/null 2>&1; then fail "a number was expected"; fi
echo "parts add up"
