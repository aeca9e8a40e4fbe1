#!/usr/bin/env bash
# Makes build/aws-venv, the Python environment of the AWS tests: the emulators and service models of tests/aws/requirements.txt,
# at exactly those versions. Idempotent: what stands and has the same requirements is kept; a set-up that was cut off is made anew.
# ctest runs it before the first test that needs it.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=tests/aws/requirements.txt
# Debian's own Python where there is one: scripts/setup.sh installs what makes environments for that.
python=/usr/bin/python3
[ -x "$python" ] || python=python3

fail() {
  echo "aws-venv: $1" >&2
  echo "  hint: $2" >&2
  exit 1
}
command -v "$python" >/dev/null || fail "there is no python3 on this machine" "scripts/setup.sh installs it"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  fail "'$python' cannot make virtual environments" "scripts/setup.sh installs the package python3-venv"

mkdir -p build
exec 9>build/aws-venv.lock
flock 9
key=$({ cat "$requirements"; "$python" -V; pwd; } | sha256sum | cut -c1-16)
place=build/aws-venv-$key
if [ ! -e "$place/complete" ]; then
  rm -rf build/aws-venv build/aws-venv-*
  "$python" -m venv "$place" || fail "'$python -m venv' failed" "its words are above"
  "$place/bin/pip" install --quiet --no-input --no-deps --no-compile --disable-pip-version-check --retries 5 --timeout 60 \
    --requirement "$requirements" ||
    fail "what the AWS tests need cannot be installed" "pip's words are above; it needs a package index, or PIP_FIND_LINKS"
  "$place/bin/python" -c 'import botocore, ministack.app, moto.server' >/dev/null ||
    fail "the emulators do not load" "a package is missing from $requirements"
  touch "$place/complete"
fi
ln -sfn "aws-venv-$key" build/aws-venv
