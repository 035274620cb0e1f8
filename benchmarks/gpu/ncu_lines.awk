# SPDX-License-Identifier: Apache-2.0
# From the CSV of ncu (one row a kernel and metric) and the lines of `gpu_bench profile`, which say how many
# kernels each of them is: lines for gpu_table. Called with the lines first, then the CSV.
BEGIN { OFS = "\t" }

FNR == NR { split($0, field, "\t"); shape[++shapes] = field[2]; least[shapes] = field[8]; launches[shapes] = field[11]; next }

/^"[0-9]+",/ {
  count = split($0, field, "\",\"")
  id = substr(field[1], 2)
  value = field[count]
  gsub(/[",]/, "", value)
  if (!(id in seen)) { seen[id] = ++kernels }
  if (field[count - 2] ~ /^dram__bytes/) memory[seen[id]] += value
  if (field[count - 2] ~ /^lts__t_bytes/) cache[seen[id]] += value
}

END {
  kernel = 0
  for (i = 1; i <= shapes; ++i) {
    total = 0; level2 = 0
    for (n = 0; n < launches[i]; ++n) { ++kernel; total += memory[kernel]; level2 += cache[kernel] }
    if (kernel > kernels) { print "ncu", shape[i], "sjd", "bytes", "", "", "", least[i], "", "", "ncu counted too few kernels"; continue }
    printf "ncu\t%s\tsjd\tbytes\t%.6g\t\t\t%s\t\t\tof memory; second-level cache %.6g\n", shape[i], total, least[i], level2
  }
}
