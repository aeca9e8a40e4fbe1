#!/usr/bin/env python3
"""Compares the #include lines of each folder under src/ with the LINKS of its CMakeLists.txt: a folder may include only
itself and the folders that it links. Prints each violation and exits 1 if there is one."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent / "src"
links = {}
for cmake in root.rglob("CMakeLists.txt"):
    folder = str(cmake.parent.relative_to(root))
    match = re.search(r"lifeboat_library\(([^)]*)\)", cmake.read_text(), re.S)
    if not match:
        continue
    words = match.group(1).split()
    allowed, taking = set(), False
    for word in words[1:]:
        if word == "LINKS":
            taking = True
        elif word.isupper() and "/" not in word and "::" not in word:
            taking = False
        elif taking:
            allowed.add(word)
    links[folder] = allowed

# decide stays pure, and one adapter never includes another (peers are how the remote store travels: through the port).
fixed = {"decide": {"base", "model"}, "model": {"base"}, "base": set(), "ports": {"base", "model"}}
problems = []
for folder, allowed in fixed.items():
    if not links.get(folder, set()) <= allowed:
        problems.append(f"src/{folder}/CMakeLists.txt: may link {sorted(allowed)} alone, links {sorted(links[folder])}")
for source in root.rglob("*.[ch]*"):
    if source.suffix not in (".cc", ".h") or source.name.endswith("_test.cc"):
        continue
    folder = str(source.parent.relative_to(root))
    if folder not in links:
        continue
    for number, line in enumerate(source.read_text().splitlines(), 1):
        match = re.match(r'#include "([^"]+)"', line)
        if not match:
            continue
        target = str(pathlib.PurePosixPath(match.group(1)).parent)
        if target != folder and target not in links[folder] and (root / target).is_dir():
            problems.append(f"{source.relative_to(root.parent)}:{number}: '{folder}' includes '{target}', which it does not link")
print("\n".join(problems) if problems else f"layers: {len(links)} folders, no include across a line")
sys.exit(1 if problems else 0)
