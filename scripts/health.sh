#!/usr/bin/env bash
# A look at the code base: sizes by folder, long functions' files, type names defined twice, marks of unfinished work.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "lines by folder:"
git ls-files 'src/*.cc' 'src/*.h' | xargs wc -l | awk '$2 != "total" {n = split($2, p, "/"); d = p[2]; if (d == "adapters") d = d "/" p[3]; s[d] += $1} END {for (d in s) printf "  %6d  %s\n", s[d], d}' | sort -rn
echo "files over 600 lines:"
git ls-files '*.cc' '*.h' | xargs wc -l | awk '$1 > 600 && $2 != "total" {printf "  %6d  %s\n", $1, $2}'
echo "types of one namespace defined in two headers:"
git ls-files 'src/*.h' | xargs awk '/^namespace /{ns=$2} /^(class|struct|enum class) [A-Za-z]+ ?[:{]|^(class|struct) [A-Za-z]+ (final )?[:{]/{n=$2; if ($1=="enum") n=$3; print ns "::" n}' | sort | uniq -d | sed 's/^/  /'
echo "marks of unfinished work:"
git grep -nIE 'TODO|FIXME|XXX|GTEST_SKIP|DISABLED_' -- '*.cc' '*.h' '*.sh' '*.py' ':!scripts/health.sh' | sed 's/^/  /' || echo "  none"
