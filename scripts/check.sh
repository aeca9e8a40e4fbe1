#!/usr/bin/env bash
# Format, layers, tidy (where clang is installed), deploy/ (by the tools that are installed), then the unit tests: what a change should pass before anything slower.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 scripts/check_layers.py
if command -v clang-format >/dev/null; then
  git ls-files '*.cc' '*.h' | xargs clang-format --dry-run --Werror
else
  echo "check: clang-format is not installed; formatting was not checked" >&2
fi
if command -v clang-tidy >/dev/null; then
  # The precompiled header is gcc's; clang parses the headers anew.
  sed -E 's/-Winvalid-pch -include [^ ]+cmake_pch.hxx//; s#/usr/bin/ccache ##' build/release/compile_commands.json >build/compile_commands.json
  git ls-files 'src/*.cc' | grep -v _test.cc | xargs -P 2 -n 4 clang-tidy -p build --quiet 2>/dev/null
else
  echo "check: clang-tidy is not installed; tidy was not run" >&2
fi
scripts/check-deploy.sh
ctest --test-dir build/release --output-on-failure -j 2 -L unit
