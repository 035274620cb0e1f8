# SPDX-License-Identifier: Apache-2.0
# Makes the closing table of tests/run out of the lines that the tests printed. Lines of the form
# "L2 | what | 14 instances, 8920 paths | TV 3.4e-01" are added up by layer and kind (lossless,
# lossy, controls that must fail): counts are summed, of the last column the worst is shown, for
# controls the weakest. Lines of the form "F1 what: how many" stay as they are.

function add_row(layer, what, how_many, worst) {
  rows += 1
  cell[rows, 1] = layer; cell[rows, 2] = what; cell[rows, 3] = how_many; cell[rows, 4] = worst
  for (i = 1; i <= 4; ++i) if (length(cell[rows, i]) > width[i]) width[i] = length(cell[rows, i])
}

function number_in(text) {
  if (text ~ /inf/) return text ~ /-inf/ ? -1e308 : 1e308
  return match(text, /[-+]?[0-9][0-9.]*(e[-+][0-9]+)?/) ? substr(text, RSTART, RLENGTH) + 0 : ""
}

function add_counts(group, how_many,    parts, n, i, unit) {
  n = split(how_many, parts, ", ")
  for (i = 1; i <= n; ++i) {
    unit = parts[i]
    sub(/^[0-9]+ /, "", unit)
    if (!((group, unit) in sums)) units[group] = units[group] (units[group] == "" ? "" : "\n") unit
    sums[group, unit] += parts[i] + 0
  }
}

function counts_of(group,    parts, n, i, text) {
  n = split(units[group], parts, "\n")
  for (i = 1; i <= n; ++i) {
    text = text (i > 1 ? ", " : "") sprintf("%.0f", sums[group, parts[i]]) " " parts[i]
  }
  return text
}

BEGIN { FS = " [|] " }

/^L[0-9] [|] / && $2 ~ /^(all |ledger: )/ { next }

/^L[0-9] [|] / {
  kind = $2 ~ /^control/ ? "controls" : $2 ~ /^lossy/ ? "lossy" : \
         $2 ~ /^ledger/ ? "ledger" : "exact"
  group = $1 SUBSEP kind
  if (!(group in lines)) order[++groups] = group
  lines[group] += 1
  add_counts(group, $3)
  value = number_in($4)
  if (value != "" && (!(group in extreme) ||
      (kind == "controls" ? value < extreme[group] : value > extreme[group]))) {
    extreme[group] = value
    shown[group] = $4
  }
  next
}

{ others[++count] = $0 }

END {
  add_row("layer", "what", "how many", "worst")
  for (k = 1; k <= groups; ++k) {
    split(order[k], part, SUBSEP)
    what = part[2] == "controls" ? "wrong rules, to be caught" \
         : part[2] == "lossy" ? "lossy policies, measured" \
         : part[2] == "ledger" ? "ledger of this core" : "lossless"
    add_row(part[1], what " (" lines[order[k]] ")", counts_of(order[k]),
            (part[2] == "controls" ? "weakest " : "") shown[order[k]])
  }
  for (k = 1; k <= count; ++k) {
    colon = index(others[k], ": ")
    add_row(substr(others[k], 1, 2), substr(others[k], 4, colon - 4), substr(others[k], colon + 2), "")
  }
  for (k = 1; k <= rows; ++k) {
    printf "%-" width[1] "s | %-" width[2] "s | %-" width[3] "s | %s\n", \
           cell[k, 1], cell[k, 2], cell[k, 3], cell[k, 4]
  }
}
