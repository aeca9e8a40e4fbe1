#!/usr/bin/env bash
# Which Debian packages hold the libraries that a program is linked with (not those that they bring along themselves).
#   scripts/runtime-packages.sh PROGRAM                  prints them, one a line
#   scripts/runtime-packages.sh PROGRAM --compare LIST   exit code 1 and the difference where LIST names others ('#': a comment)
set -euo pipefail
export LC_ALL=C

program=${1:?usage: runtime-packages.sh PROGRAM [--compare LIST]}
[ -x "$program" ] || { echo "runtime-packages: there is no program '$program'" >&2; exit 2; }

packages() {
  local name path
  # The names that it asks for, and where the loader finds them.
  objdump -p "$program" | awk '$1 == "NEEDED" {print $2}' | while read -r name; do
    path=$(ldd "$program" | awk -v name="$name" '$1 == name {print $3}')
    [ -n "$path" ] && [ -e "$path" ] || { echo "runtime-packages: '$name' is not on this machine" >&2; exit 1; }
    path=$(readlink -f "$path")
    # Since /usr was merged a package may have it under either name.
    { dpkg -S "$path" 2>/dev/null || dpkg -S "${path#/usr}" 2>/dev/null; } | head -n 1 | cut -d: -f1 | grep . ||
      { echo "runtime-packages: '$path' belongs to no package" >&2; exit 1; }
  done | sort -u
}

found=$(packages)
case "${2:-}" in
  "") printf '%s\n' "$found" ;;
  --compare)
    listed=$(grep -v -e '^#' -e '^$' "${3:?--compare wants a list}" | sort -u)
    difference=$(diff --unchanged-line-format= --old-line-format='missing in the list: %L' --new-line-format='listed, and not linked: %L' \
      <(printf '%s\n' "$found") <(printf '%s\n' "$listed")) || { printf '%s\n' "$difference" >&2; exit 1; }
    ;;
  *) echo "usage: runtime-packages.sh PROGRAM [--compare LIST]" >&2; exit 2 ;;
esac
