# SPDX-License-Identifier: Apache-2.0
# Sourced by the tests of the programs: run something, look at what it said, count what was wrong.
failures=0

# begin PROGRAM WRITE_MODEL: into a folder of its own that holds a tiny model, until the test ends.
begin() {
  program=$1
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  "$2" model
  export SJD_MODEL=$work/model
}

fail() {
  printf 'FAILED: %s\n' "$*"
  failures=$((failures + 1))
}

# expect CODE COMMAND...: leaves standard output in out.txt and standard error in err.txt.
expect() {
  local wanted=$1 code=0
  shift
  "$@" >out.txt 2>err.txt </dev/null || code=$?
  if [ "$code" != "$wanted" ]; then
    fail "exit code $code where $wanted is expected: $*"
    cat out.txt err.txt
  fi
}

# says FILE TEXT: the text stands in the file.
says() { grep -qF -- "$2" "$1" || { fail "$1 does not say: $2"; cat "$1"; }; }

# one_line FILE: a complaint is one line.
one_line() { [ "$(wc -l <"$1")" = 1 ] || { fail "$1 is not one line"; cat "$1"; }; }

# field NAME: the value of a JSON field of out.txt, line by line.
field() { grep -o "\"$1\":[^,}]*" out.txt | cut -d: -f2-; }

nothing_left() {
  local left
  left=$(find . -name '*.tmp' -o -name '*.part*')
  [ -z "$left" ] || fail "left behind: $left"
}

finish() {
  if [ "$failures" != 0 ]; then
    printf '%s failures\n' "$failures"
    exit 1
  fi
  echo "all as expected"
}
