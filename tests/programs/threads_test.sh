#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A batch painted by several threads, for a build under thread sanitizer: it is undisturbed, it is
# stopped by a signal and resumed, and threads and batch change no byte.
# threads_test.sh PAINT WRITE_MODEL
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/expect.sh"
begin "$@"
export TSAN_OPTIONS="halt_on_error=1 exitcode=66${TSAN_OPTIONS:+ $TSAN_OPTIONS}"
for i in 1 2; do
  printf 'red apple\nblue heart cherry\n\nRED\nheart, red\n'
done >words.txt

expect 0 "$program" --threads 3 --batch 5 --prompts words.txt -o whole
[ "$(find whole -name '*.png' | wc -l)" = 8 ] || fail "not every line has a picture"
expect 0 "$program" --threads 2 --batch 1 --prompts words.txt -o other
diff -r whole other || fail "batch or threads change a picture"

"$program" --threads 3 --batch 2 --prompts words.txt -o stopped >out.txt 2>err.txt </dev/null &
while kill -0 $! 2>/dev/null && [ -z "$(find stopped -name '*.png' 2>/dev/null)" ]; do sleep 0.02; done
kill -INT $! 2>/dev/null || true
code=0
wait $! || code=$?
[ "$code" = 0 ] || [ "$code" = 130 ] || { fail "exit code $code after a signal"; cat err.txt; }
expect 0 "$program" --threads 3 --batch 2 --prompts words.txt -o stopped
diff -r whole stopped || fail "a resumed batch is not the undisturbed one"
finish
