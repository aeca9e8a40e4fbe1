#!/usr/bin/env python3
"""The IAM actions that headers list (@iam) stand in docs/aws.md, by file, and the other way round."""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def actions_of_headers():
    found = {}
    for header in sorted((ROOT / "src/adapters/aws").glob("*.h")):
        actions = re.findall(r"^// @iam ([a-z0-9-]+:[A-Za-z0-9]+)$", header.read_text(), re.MULTILINE)
        if actions:
            found[header.stem] = sorted(actions)
    return found


def actions_of_docs():
    text = (ROOT / "docs/aws.md").read_text().partition("## Actions by file\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| (.+) \|$", text, re.MULTILINE)
    return {name: sorted(re.findall(r"`([^`]+)`", cell)) for name, cell in rows}


class IamActions(unittest.TestCase):
    maxDiff = None

    def test_headers_and_docs_list_the_same(self):
        self.assertTrue(actions_of_headers())
        self.assertEqual(actions_of_headers(), actions_of_docs())


if __name__ == "__main__":
    sys.exit(unittest.main())
