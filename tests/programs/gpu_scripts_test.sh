#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the scripts for a GPU do on a machine without one: gpu_scripts_test.sh ROOT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/expect.sh"
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

expect 0 "$root/benchmarks/gpu/run" --help
says out.txt "compute capability"
expect 64 "$root/benchmarks/gpu/run" --part build,fast
says err.txt "no part fast"
expect 64 "$root/benchmarks/gpu/run" --fast

SJD_GPU_HEADERS=$work/headers expect 0 "$root/benchmarks/gpu/run" --gather
for file in nlohmann/json.hpp fmt/format.h; do
  [ -s "headers/$file" ] || fail "--gather left no $file"
done
[ "$(du -sm headers | cut -f1)" -lt 32 ] || fail "the gathered headers are too large to travel"

expect 0 "$root/examples/train/gpu" --help
says out.txt "3 GB and cannot travel"
expect 64 "$root/examples/train/gpu" --fast

# The CSV of ncu, made up: three launches for two lines, then one kernel too few.
{
  printf 'ncu\trows\tsjd\tbytes\t\t\t\t1000\t\t\t2\n'
  printf 'ncu\twindow\tsjd\tbytes\t\t\t\t\t\t\t1\n'
  printf 'ncu\tmore\tsjd\tbytes\t\t\t\t7\t\t\t1\n'
} >profile.tsv
{
  echo '==PROF== Connected to process 1'
  echo '"ID","Process ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"'
  for id in 0 1 2; do
    echo "\"$id\",\"9\",\"a<b, \"\"c\"\">(int)\",\"s\",\"dram__bytes_read.sum\",\"byte\",\"1,00$id\""
    echo "\"$id\",\"9\",\"a<b, \"\"c\"\">(int)\",\"s\",\"dram__bytes_write.sum\",\"byte\",\"500\""
    echo "\"$id\",\"9\",\"a<b, \"\"c\"\">(int)\",\"s\",\"lts__t_bytes.sum\",\"byte\",\"$id\""
  done
} >ncu.csv
expect 0 awk -f "$root/benchmarks/gpu/ncu_lines.awk" profile.tsv ncu.csv
printf 'ncu\trows\tsjd\tbytes\t3001\t\t\t1000\t\t\tof memory; second-level cache 1\n' >wanted.txt
printf 'ncu\twindow\tsjd\tbytes\t1502\t\t\t\t\t\tof memory; second-level cache 2\n' >>wanted.txt
printf 'ncu\tmore\tsjd\tbytes\t\t\t\t7\t\t\tncu counted too few kernels\n' >>wanted.txt
cmp -s out.txt wanted.txt || { fail "the lines of ncu"; diff out.txt wanted.txt || true; }

if command -v python3 >/dev/null; then
  expect 0 python3 "$root/benchmarks/gpu/peers.py" --self-test
  says out.txt "no measurement"
  expect 0 python3 "$root/benchmarks/gpu/peers.py" --list
  says out.txt "needs torch, flashinfer.sampling"
else
  echo "python3 is not installed: peers.py was not tried"
fi
[ "$failures" = 0 ]
