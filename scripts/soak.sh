#!/usr/bin/env bash
# Runs chaos on real processes for some minutes, one seed after another, and writes the result with its date into docs/soak.md.
# A seed that fails prints its story, the command that repeats it, and the folder that it kept. Exit code 1: one has failed.
# usage: scripts/soak.sh BUILD MINUTES SEED
set -uo pipefail
cd "$(dirname "$0")/.."
build=$1
minutes=$2
seed=$3

log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$build/bin/lifeboat_chaos" --minutes "$minutes" --seed "$seed" | tee "$log"
code=${PIPESTATUS[0]}

summary=$(grep '^soak: ' "$log" | sed 's/^soak: //')
[ -n "$summary" ] || { echo "soak: it ended without a summary" >&2; exit 1; }
limits=$(grep -o 'NO CUTS[^;]*\|NO GATE' "$log" | sort -u | paste -sd ';')
problems=$(grep '^  PROBLEM ' "$log" | sed 's/^  PROBLEM /- /')
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
git diff --quiet HEAD -- src postgres 2>/dev/null || commit="$commit with local changes"
{
  sed '/^## Last result/,$d' docs/soak.md
  echo "## Last result"
  echo
  echo "$(date -u +%F), $minutes minutes on $(nproc) cores, commit $commit${limits:+; $limits}:"
  echo
  echo "> $summary"
  if [ -n "$problems" ]; then
    echo
    echo "$problems"
  fi
} > docs/soak.md.new && mv docs/soak.md.new docs/soak.md
exit "$code"
