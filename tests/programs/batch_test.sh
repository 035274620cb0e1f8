#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# paint --prompts paints thousands: whatever stops it, the same command ends with the same directory.
# batch_test.sh PAINT WRITE_MODEL
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/expect.sh"
begin "$@"
trap 'umount "$work/disk" 2>/dev/null || true; rm -rf "$work"' EXIT
paint() { "$program" --threads 1 --batch 2 "$@"; }
# start ARGUMENT...: in the background; $! is the program itself, so that signals reach it.
start() { exec "$program" --threads 1 --batch 2 "$@" >out.txt 2>err.txt </dev/null; }
RANDOM=7

# Repeated lines, a blank one, words that make no file name, one without its end.
for i in 1 2 3 4; do
  printf 'red apple\nblue heart cherry\n\n../../red/apple\nRED\r\nheart, red\n'
done >words.txt
printf 'heart' >>words.txt
pictures=21

# An undisturbed run: one picture a line, the first of them what the words alone paint.
begin=${EPOCHREALTIME/./}
expect 0 paint --prompts words.txt -o whole
duration=$((${EPOCHREALTIME/./} - begin))
# On a busy machine later moments are reached by resuming.
[ $duration -le 1000000 ] || duration=1000000
says out.txt "whole: $pictures pictures, 0 of them painted before"
[ "$(find whole -name '*.png' | wc -l)" = $pictures ] || fail "not every line has a picture"
[ "$(find whole -type f | wc -l)" = $((pictures + 1)) ] || fail "more than pictures and manifest"
for name in 000001-red-apple 000004-red-apple 000025-heart; do
  [ -s whole/$name.png ] || fail "no $name.png"
done
expect 0 paint red apple -o one.png
cmp -s one.png whole/000001-red-apple.png || fail "line 1 is not sample 0 of the seed"
cmp -s whole/000001-red-apple.png whole/000007-red-apple.png && fail "a repeated line is a copy"

# Words that the model does not know are counted, with the first of them.
printf 'red\nzebra red\ncat\n' >strange.txt
expect 0 paint --prompts strange.txt -o strange
says err.txt '2 of 3 prompts hold words that the model does not know: "zebra" in line 2'

# Nothing that does not change a token changes a byte; a finished batch is left alone.
expect 0 "$program" --threads 3 --batch 5 --prompts words.txt -o other
diff -r whole other || fail "batch or threads change a picture"
inodes() { find "$1" -name '*.png' -printf '%p %i\n' 2>/dev/null | sort || true; }
inodes whole >before.txt
expect 0 paint --prompts words.txt -o whole
says out.txt "$pictures of them painted before"
[ "$(inodes whole)" = "$(cat before.txt)" ] || fail "a finished picture was painted again"

# look: every picture in `killed` is whole, and nothing else is there but what a resume removes.
look() {
  local file
  for file in killed/* killed/.[!.]*; do
    case $file in
      *\*) ;;
      *.tmp) ;;
      killed/*) cmp -s "$file" "whole/${file#killed/}" || fail "$file is not as it should be" ;;
    esac
  done
}

# kill -9 at any moment: no picture is half, none is painted twice, none is lost.
kills=0
runs=0
while [ $kills -lt 24 ] && [ $runs -lt 200 ]; do
  runs=$((runs + 1))
  inodes killed >before.txt
  start --prompts words.txt -o killed &
  moment=$(((RANDOM * 32768 + RANDOM) % (duration + duration / 8)))
  sleep "$(printf '%d.%06d' $((moment / 1000000)) $((moment % 1000000)))"
  kill -9 $! 2>/dev/null || true
  code=0
  wait $! 2>/dev/null || code=$?
  inodes killed >after.txt
  [ -z "$(comm -23 before.txt after.txt)" ] || fail "a finished picture was touched"
  case $code in
    0)
      diff -r whole killed || fail "a resumed batch is not the undisturbed one"
      rm -rf killed
      ;;
    137)
      kills=$((kills + 1))
      [ ! -d killed ] || look
      ;;
    *) fail "exit code $code of a killed run" && cat err.txt ;;
  esac
done
[ $kills = 24 ] || fail "only $kills of $runs runs were killed"
expect 0 paint --prompts words.txt -o killed
diff -r whole killed || fail "a batch that was killed is not the undisturbed one"
echo "killed $kills of $runs runs within $duration us of their start"

# Leftovers of a killed run go, also those that are older than the manifest; the rest stays.
rm -rf killed && mkdir killed
touch killed/batch.txt.77.tmp killed/000001-red-apple.png.18446744073709551615.tmp
expect 0 paint --prompts words.txt -o killed
diff -r whole killed || fail "leftovers stay"
touch killed/000001-red-apple.png.5.tmp killed/notes.txt killed/000001-red-apple.png.x.tmp
truncate -s 3000 killed/000002-blue-heart-cherry.png
expect 0 paint --prompts words.txt -o killed
says out.txt "$((pictures - 1)) of them painted before"
[ ! -e killed/000001-red-apple.png.5.tmp ] || fail "a leftover stays beside a manifest"
rm killed/notes.txt killed/000001-red-apple.png.x.tmp || fail "a file of somebody else is gone"
diff -r whole killed || fail "a cut picture is not painted again"

# Ctrl-C: what is done stays, the same command goes on.
for signal in INT=130 TERM=143; do
  rm -rf killed
  start --prompts words.txt -o killed --batch 1 &
  while [ "$(find killed -name '*.png' 2>/dev/null | wc -l)" -lt 2 ]; do sleep 0.01; done
  kill -"${signal%=*}" $! 2>/dev/null || true
  code=0
  wait $! || code=$?
  [ "$code" = "${signal#*=}" ] || fail "SIG${signal%=*} gives exit code $code"
  says err.txt "of $pictures pictures are painted; the same command goes on"
  nothing_left
  look
  expect 0 paint --prompts words.txt -o killed
  diff -r whole killed || fail "SIG${signal%=*} loses a picture"
done

# Other settings, another file, another model: refused in one line, and nothing is touched.
refused() {
  local text=$1
  shift
  expect 64 paint -o killed "$@"
  one_line err.txt
  says err.txt "$text"
  diff -r whole killed || fail "a refused command changed the directory: $*"
}
refused '"seed 0" where this one has "seed 3"' --prompts words.txt --seed 3
refused '"window 32" where this one has "window 9"' --prompts words.txt --window 9
refused '"upscale 4" where this one has "upscale 2"' --prompts words.txt --upscale 2
refused '"temperature 0.7"' --prompts words.txt --temperature 1
refused '"decoder sjd2' --prompts words.txt --decoder ar
(cat words.txt && printf '\nred\n') >more.txt
refused '"prompts ' --prompts more.txt
cp -r model altered
sed 's/knife/plum/' model/tokenizer.json >altered/tokenizer.json
SJD_MODEL=$work/altered refused '"tokenizer.json ' --prompts words.txt 2>/dev/null
expect 64 paint --prompts words.txt -o model
says err.txt "and no batch.txt"
[ ! -e model/batch.txt ] || fail "a directory of somebody else was taken"
expect 74 flock killed "$program" --prompts words.txt -o killed
says err.txt "another program paints into it"

# Bad prompt files are 65 and name the line; no directory is made.
bad() {
  local code=$1 text=$2
  shift 2
  expect "$code" paint -o none "$@"
  one_line err.txt
  says err.txt "$text"
  [ ! -e none ] || fail "a directory was made: $*"
}
: >empty.txt
printf ' \n\t\r\n\n' >blank.txt
printf 'red\n\nap\xffple\n' >broken.txt
{ printf 'red\n' && head -c 65537 /dev/zero | tr '\0' a; } >long.txt
bad 65 "empty.txt: holds no prompt" --prompts empty.txt
bad 65 "blank.txt: holds no prompt" --prompts blank.txt
bad 65 "broken.txt: line 3: the prompt is no UTF-8 at byte 2" --prompts broken.txt
bad 65 "long.txt: line 2: the prompt is longer than 65536 bytes" --prompts long.txt
bad 65 "not a regular file" --prompts /dev/zero
bad 74 "nowhere.txt: cannot open" --prompts nowhere.txt
bad 64 "words to paint cannot be given" --prompts words.txt red apple
bad 64 "--compare, --preview" --prompts words.txt --json
bad 64 "a line may be repeated" --prompts words.txt --count 2
expect 64 paint --prompts words.txt
says err.txt "--output DIR is needed"

# What the system refuses is 74 and names the place.
expect 74 paint --prompts words.txt -o words.txt
says err.txt "words.txt: cannot open the directory: Not a directory"
expect 74 paint --prompts words.txt -o /dev/full
expect 74 paint --prompts words.txt -o /nowhere/pictures
says err.txt "/nowhere/pictures: cannot make the directory"
expect 74 paint --prompts words.txt -o /proc/pictures

# A disk that fills up, or a file that may not grow: no half picture, and room lets it go on.
filled() {
  says err.txt "cannot write"
  one_line err.txt
  nothing_left
  ln -sfn "$1" killed
  look
  expect 0 paint --prompts words.txt -o "$2"
  diff -r whole "$2" || fail "a full disk loses a picture"
}
rm -rf killed
limited() { (ulimit -f 1 && paint "$@"); }
expect 74 limited --prompts words.txt -o small
filled small small
mkdir disk
if mount -t tmpfs -o size=120k none disk 2>/dev/null; then
  expect 74 paint --prompts words.txt -o disk/pictures
  [ "$(find disk -name '*.png' | wc -l)" -ge 1 ] || fail "nothing was painted before the disk was full"
  mount -o remount,size=64m disk
  filled disk/pictures disk/pictures
  echo "a full disk of 120 KiB went on when it was larger"
else
  echo "no right to mount: a full disk was played by a file size limit alone"
fi
finish
