#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What paint promises to the shell: paint_test.sh PAINT WRITE_MODEL
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/expect.sh"
begin "$@"
paint() { "$program" --threads 1 "$@"; }

# A picture, under the name of its words.
expect 0 paint red Apple
says out.txt "red-apple.png: 160 x 144 pixels"
says out.txt "lossless"
[ -s red-apple.png ] || fail "red-apple.png is not there"
[ "$(head -c 4 red-apple.png | tail -c 3)" = PNG ] || fail "red-apple.png is not a PNG"
[ ! -s err.txt ] || fail "a plain run says something on standard error"

# Help teaches without a model.
SJD_MODEL=/nowhere expect 0 paint --help
for word in --output --prompts --count --seed --decoder --coupling --window --costs --levels \
  --guidance \
  --temperature --top-k --top-p --compare --threads --model --json --preview --trace --verbose \
  --device \
  "exit codes" "paint red apple"; do
  says out.txt "$word"
done

# Words that the model does not know are named, with those that it may know instead.
expect 0 paint red cherries zebra -o words.png
says err.txt '"cherries"; it knows cherry'
says err.txt '"zebra"'
expect 0 paint "red red red red red blue" -o words.png
says err.txt "takes 5 words; left out: blue"
expect 0 paint --words
says out.txt "cherry"

# Bad values: one line that says the allowed range, and exit code 64.
bad() {
  local text=$1
  shift
  expect 64 paint "$@"
  one_line err.txt
  says err.txt "$text"
}
bad "0 .. 18446744073709551615" --seed minus red
bad "1 .. 90" --window 91 red
bad "auto or a whole number in 1 .. 4096" --window 0 red
bad "one of 1, 2, 3, 5" --levels 4 red
bad "0 .. 20" --guidance=-1 red
bad "0 .. 10" --temperature nan red
bad "0 .. 1048576" --top-k -3 red
bad "0.001 .. 1" --top-p 0 red
bad "1 .. 256" --count 0 red
bad "1 .. 16" --upscale 99 red
bad "one of ar" --decoder fast red
bad "none, maximal, corrected, gumbel" --coupling tight red
bad "one of none, gumbel" --decoder ar --coupling maximal red
bad "sjd2 is needed" --weights base red
bad "--window?" --windw 3 red
bad "needs a value" red --seed
bad "takes no value" --json=yes red
bad "say what to paint"
bad "--decoder other than ar" --compare --decoder ar red
bad "the name is empty" -o "" red
bad "one of cpu, cuda" --device tpu red

# A device that is not there, or a build without CUDA: one line that says which.
if [ -e /dev/nvidiactl ] || [ -e /dev/dxg ]; then
  echo "paint_test.sh: --device cuda is not refused here, there may be a device"
else
  expect 64 paint --device cuda -o cuda.png red
  one_line err.txt
  grep -qE -- "--device cuda: (no CUDA device|this paint was built without CUDA|the CUDA part)" \
    err.txt || fail "--device cuda does not say what is missing"
  [ ! -e cuda.png ] || fail "--device cuda left a picture"
fi

# What the system refuses is 74, what a file gets wrong is 65.
expect 74 paint -o /nowhere/red.png red
one_line err.txt
expect 74 paint -o /dev/null red
[ -c /dev/null ] || fail "/dev/null is no longer a device"
expect 74 paint --trace /nowhere/t.jsonl red
expect 74 paint --model /nowhere red
says err.txt "--model DIR"
mkdir folder.png
expect 74 paint -o folder.png red
cp -r model broken
printf '{}' >broken/config.json
expect 65 paint --model broken red
one_line err.txt
says err.txt "broken/config.json"
truncate -s 1000 broken/sjd2.safetensors
cp model/config.json broken
expect 65 paint --model broken red
says err.txt "sjd2.safetensors"

# JSON: one object a picture, with every field.
expect 0 paint --json --count 3 --seed 5 red apple
[ "$(wc -l <out.txt)" = 3 ] || fail "--count 3 --json is not three lines"
for name in prompt seed decoder lossless tokens forward_passes tokens_per_pass rows seconds \
  seconds_host seconds_library token_digest output; do
  [ "$(field $name | wc -l)" = 3 ] || fail "field $name is missing"
done
[ "$(field token_digest | sort -u | wc -l)" = 3 ] || fail "three pictures are not three"
digests=$(field token_digest)
expect 0 paint --json --count 3 --seed 5 --batch 1 red apple
[ "$(field token_digest)" = "$digests" ] || fail "the batch size changes tokens"
expect 0 "$program" --threads 3 --json --count 3 --seed 5 --batch 2 red apple
[ "$(field token_digest)" = "$digests" ] || fail "threads change tokens"

# A window by cost: from the model directory, from a file, or fixed where there is neither.
expect 0 paint -v red
says out.txt "window 32, "
says err.txt "no costs.json in the model directory, the window is 32"
table='"rows":[1,4,16],"seconds":[0.001,0.0011,0.0012],"survival":[0.9,0.8]'
costs() {
  printf '{"format":"sjd-costs","version":1,"machine":"m","date":"d","threads":1,'
  printf '"composition":"sjd2-maximal","tables":[%s]}' "$1"
}
costs "{\"batch\":1,\"branches\":2,$table}" >costs.json
expect 0 paint --json --costs costs.json --seed 3 red
[ "$(field window)" = '"auto"' ] || fail "--costs does not choose the window"
mean=$(field mean_window)
awk "BEGIN { exit !($mean > 1 && $mean <= 16) }" || fail "a mean window of $mean"
digest=$(field token_digest)
expect 0 "$program" --threads 3 --json --costs costs.json --seed 3 red
[ "$(field token_digest)" = "$digest" ] || fail "threads change tokens of a window by cost"
expect 0 paint --costs costs.json red
says out.txt "window by cost ("
cp costs.json model
expect 0 paint --json --seed 3 red
[ "$(field token_digest)" = "$digest" ] || fail "costs.json of the model directory is not read"
expect 0 paint --json --window 7 red
[ "$(field window)" = 7 ] || fail "--window 7 is not obeyed beside costs.json"
expect 0 paint --json --window auto --decoder ar --coupling gumbel --seed 2 red
digest=$(field token_digest)
expect 0 paint --json --window auto --coupling gumbel --seed 2 red
[ "$(field token_digest)" = "$digest" ] || fail "a window by cost has other tokens than AR"
rm model/costs.json
expect 74 paint --costs /nowhere.json red
one_line err.txt
bad_costs() {
  costs "$2" >broken.json
  expect 65 paint --costs broken.json red
  one_line err.txt
  says err.txt "broken.json"
  says err.txt "$1"
}
bad_costs "has no table" ""
bad_costs "begin at 1 row" '{"batch":1,"branches":1,"rows":[2],"seconds":[1],"survival":[]}'
bad_costs "one number for each" '{"batch":1,"branches":1,"rows":[1],"seconds":[],"survival":[]}'
bad_costs "is not a field" '{"batch":1,"branches":1,"rows":[1],"seconds":[1],"survival":[],"x":1}'
bad_costs "survival must fall" '{"batch":1,"branches":1,"rows":[1],"seconds":[1],"survival":[0.1,0.2]}'
bad_costs "batch and branches of a table before" \
  "{\"batch\":1,\"branches\":2,$table},{\"batch\":1,\"branches\":2,$table}"
printf '{"format":"sjd-costs"' >broken.json
expect 65 paint --costs broken.json red
says err.txt "broken.json"

# Noise fixed per position: the tokens of AR, whatever decodes them.
for options in "--guidance 3" "--guidance 1 --temperature 0.7" \
  "--guidance 2 --top-k 20 --top-p 0.9"; do
  # shellcheck disable=SC2086
  expect 0 paint --json --seed 2 $options --decoder ar --coupling gumbel red apple
  digest=$(field token_digest)
  for decoder in "sjd --window 7" "sjd2 --window 16 --levels 2" "sjd2 --window 90 --levels 5" \
    "sjd2 --window 1 --levels 1"; do
    # shellcheck disable=SC2086
    expect 0 paint --json --seed 2 $options --coupling gumbel --decoder $decoder red apple
    [ "$(field token_digest)" = "$digest" ] || fail "other tokens than AR: $options $decoder"
  done
done
expect 0 paint --json --decoder ar-greedy red apple
digest=$(field token_digest)
expect 0 paint --json --decoder jacobi --temperature 0.5 red apple
[ "$(field token_digest)" = "$digest" ] || fail "jacobi is not the greedy picture"

# Lossy says so.
expect 0 paint --json --decoder sjd2-ungated red apple
[ "$(field lossless)" = false ] || fail "sjd2-ungated calls itself lossless"
expect 0 paint --decoder sjd2-ungated red apple
says out.txt "LOSSY"

# AR beside it: both reported, both in the picture.
expect 0 paint --json --compare red apple -o pair.png
[ "$(field decoder | tr '\n' ' ')" = '"ar" "sjd2" ' ] || fail "--compare does not report both"
expect 0 paint --compare red apple -o pair.png
says out.txt "344 x 160 pixels"

# A sheet has more rows where columns do not fit; one that no PNG holds is refused unpainted.
cp -r model wide
sed -i 's/"image_rows":[^,]*/"image_rows":1/; s/"image_columns":[^,]*/"image_columns":90/' \
  wide/config.json
expect 0 paint --model wide --count 9 --upscale 16 red -o sheet.png
says out.txt "sheet.png: 11616 x 512 pixels"
expect 64 paint --model wide --compare --count 171 --upscale 16 red -o huge.png
one_line err.txt
says err.txt "--count 171 --compare with --upscale 16 makes a sheet of 11616 x 16448 pixels"
says err.txt "at most 16384 each way"
[ ! -e huge.png ] || fail "a sheet that is too large was written"

# Traces hold all tokens; a preview without a terminal draws the finished picture once.
expect 0 paint --trace t.jsonl --count 2 red apple
says t.jsonl '"format":"sjd-trace"'
expect 0 paint --preview red apple
[ "$(grep -c $'\xe2\x96\x80' err.txt)" = 18 ] || fail "the preview is not 18 lines of half blocks"

# A signal to end: 128 + its number, and nothing half-written.
for signal in INT=130 TERM=143; do
  rm -f late.png
  "$program" --threads 1 --count 200 --decoder ar red -o late.png --trace late.jsonl \
    >out.txt 2>err.txt &
  sleep 0.4
  kill -"${signal%=*}" $!
  code=0
  wait $! || code=$?
  [ "$code" = "${signal#*=}" ] || fail "SIG${signal%=*} gives exit code $code"
  [ ! -e late.png ] && [ ! -e late.jsonl ] || fail "SIG${signal%=*} left a file"
done
nothing_left
finish
