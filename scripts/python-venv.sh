#!/usr/bin/env bash
# python-venv.sh NAME REQUIREMENTS MODULES: makes build/NAME, a Python environment with exactly the packages of the file REQUIREMENTS, and
# sees that MODULES ("a, b.c") load. Idempotent: what stands and has the same requirements is kept; a set-up that was cut off is made anew.
# ctest runs its callers before the first test that needs them.
set -euo pipefail
cd "$(dirname "$0")/.."

name=$1
requirements=$2
modules=$3
# Debian's own Python where there is one: scripts/setup.sh installs what makes environments for that.
python=/usr/bin/python3
[ -x "$python" ] || python=python3

fail() {
  echo "$name: $1" >&2
  echo "  hint: $2" >&2
  exit 1
}
command -v "$python" >/dev/null || fail "there is no python3 on this machine" "scripts/setup.sh installs it"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  fail "'$python' cannot make virtual environments" "scripts/setup.sh installs the package python3-venv"

mkdir -p build
exec 9>"build/$name.lock"
flock 9
key=$({ cat "$requirements"; "$python" -V; pwd; } | sha256sum | cut -c1-16)
place=build/$name-$key
if [ ! -e "$place/complete" ]; then
  rm -rf "build/$name" "build/$name"-*
  "$python" -m venv "$place" || fail "'$python -m venv' failed" "its words are above"
  "$place/bin/pip" install --quiet --no-input --no-deps --no-compile --disable-pip-version-check --retries 5 --timeout 60 \
    --requirement "$requirements" ||
    fail "its packages cannot be installed" "pip's words are above; it needs a package index, or PIP_FIND_LINKS"
  "$place/bin/python" -c "import $modules" >/dev/null || fail "its modules do not load" "a package is missing from $requirements"
  touch "$place/complete"
fi
ln -sfn "$name-$key" "build/$name"
