#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole program, from weights to tokens: every build must draw the same on every machine. Random
# weights stand in for trained ones, which change.
# paint_digest.sh PAINT WRITE_MODEL EXPECTED
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../programs/expect.sh"
expected=$(readlink -f "$3")
begin "$@"

# draw ARGUMENT...: the digests of two pictures.
draw() {
  expect 0 "$program" --threads 2 --json --seed 11 --count 2 -o red.png "$@" red apple
  printf '%-68s %s\n' "$*" "$(field token_digest | tr -d '"' | paste -sd ' ')"
}

{
  draw --decoder ar
  draw --decoder ar --coupling gumbel --guidance 2
  draw --decoder jacobi
  draw --decoder sjd --coupling none --top-k 9
  draw --decoder sjd --coupling maximal --guidance 2 --temperature 0.8
  draw --decoder sjd2 --coupling none --levels 2
  draw --decoder sjd2 --coupling maximal --levels 3 --guidance 2 --top-p 0.9
  draw --decoder sjd2 --coupling gumbel
} >found.txt
diff "$expected" found.txt || fail "other tokens than $3 says"
finish
