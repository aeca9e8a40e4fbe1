#!/usr/bin/env bash
# Has spin check the model of the write lease: tests/model/run.sh [--steps] [NAME…]
# Without names all runs of runs.txt, two at a time. --steps prints the way to what a refuted run found, shortest first.
# Ends with a line of counts; 1 when a run did not say what runs.txt expects, 2 when it could not be run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for tool in spin gcc; do
  command -v "$tool" >/dev/null || { echo "model: '$tool' is not installed; scripts/setup.sh installs it" >&2; exit 2; }
done

depth=500000   # steps of the longest way; a search that meets it counts as failed
memory_mb=1900

table() { grep -vE '^\s*(#|$)' "$here/runs.txt"; }
field() { awk -F'|' -v n="$2" '{gsub(/^[ \t]+|[ \t]+$/, "", $n); print $n}' <<<"$1"; }

# One run: prints "name verdict seconds states what", 1 when the verdict is not the expected one.
check() {
  local name=$1 line expected what switches folder verdict states began seconds optimise=-O2
  line=$(table | awk -F'|' -v n="$name" '{w = $1; gsub(/[ \t]/, "", w)} w == n') || true
  [ -n "$line" ] || { echo "model: runs.txt has no run '$name'" >&2; return 2; }
  expected=$(field "$line" 2) what=$(field "$line" 3) switches=$(field "$line" 4)
  case $expected in
    holds | never) ;;
    *) optimise=-O0 ;;  # short searches: compiling is most of it
  esac
  folder=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$folder'" RETURN
  cd "$folder"
  # shellcheck disable=SC2086
  { spin -a $switches "$here/lease.pml" && gcc $optimise -w -DSAFETY -DNOREDUCE -DMEMLIM=$memory_mb ${shortest:+-DREACH} -o pan pan.c; } >build 2>&1 ||
    { echo "model: '$name' does not compile:" >&2; cat build >&2; return 2; }
  began=$EPOCHREALTIME
  ./pan -m$depth -w22 ${shortest:+-i} >output 2>&1 || true
  seconds=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f", b - a}')
  states=$(awk '/states, stored/ {print $1; exit}' output)
  if grep -q 'assertion violated' output; then
    verdict=refuted
  elif grep -q 'errors: 0' output && ! grep -qiE 'max search depth|out of memory|not completed|aborting|error:' output; then
    verdict=holds
  else
    verdict=unfinished
  fi
  [ "$expected" = never ] && [ "$verdict" = holds ] && verdict=never
  printf '%-24s %-8s %6s s %9s states  %s\n' "$name" "$verdict" "$seconds" "${states:-0}" "$what"
  if [ -n "${shortest:-}" ] && [ "$verdict" = refuted ]; then
    # shellcheck disable=SC2086
    spin -t -p $switches -k "$(ls -t ./*.trail | head -n 1)" "$here/lease.pml" 2>&1 | awk -v model="$here/lease.pml" '
      BEGIN {while ((getline text < model) > 0) source[++n] = text}
      /^ *[0-9]+:\tproc/ && $1 != last {
        last = $1; match($0, /proc +[0-9]+/); process = substr($0, RSTART + 5, RLENGTH - 5) + 0
        match($0, /lease.pml:[0-9]+/); line = substr($0, RSTART + 10, RLENGTH - 10)
        who = process == 0 ? "begin" : process <= 3 ? "region " process - 1 : process == 4 ? "store" : "time"
        gsub(/^ +/, "", source[line]); if (process) printf "  %-9s %4d: %s\n", who, line, source[line]
      }'
  fi
  if [ "$verdict" != "$expected" ]; then
    echo "model: '$name' should have been '$expected'" >&2
    [ "$verdict" = unfinished ] && tail -n 5 output >&2
    return 1
  fi
}

shortest=
if [ "${1:-}" = --steps ]; then shortest=yes; shift; fi
if [ $# -eq 1 ]; then check "$1"; exit; fi

names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(table | awk -F'|' '{gsub(/[ \t]/, "", $1); print $1}')
began=$SECONDS
results=$(printf '%s\n' "${names[@]}" | xargs -P "${JOBS:-2}" -I NAME bash -c '"$0" ${2:+--steps} "$1" 2>&1 || echo "FAILED $1"' "$here/run.sh" NAME "$shortest" | tee >(cat >&2))
failed=$(grep -c '^FAILED' <<<"$results" || true)
echo "model: ${#names[@]} runs, $((${#names[@]} - failed)) as expected, $failed not, $((SECONDS - began)) s"
[ "$failed" -eq 0 ]
