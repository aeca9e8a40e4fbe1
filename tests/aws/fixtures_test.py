#!/usr/bin/env python3
"""Answers that no emulator gives, and that the tests of src/adapters/aws read from tests/fixtures, are as the vendor's models say:
every element is known where it stands, every value is of its type."""
import datetime
import pathlib
import unittest
import xml.etree.ElementTree as tree

import botocore.session

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
ANSWERS = {"rds_automated_backups.xml": ("rds", "DescribeDBInstanceAutomatedBackups")}


def plain(element):
    return element.tag.rpartition("}")[2]


def problems(element, shape, path):
    """What the model says against an element of the query protocol."""
    if shape.type_name == "structure":
        for child in element:
            member = next((each for name, each in shape.members.items() if each.serialization.get("name", name) == plain(child)), None)
            if member is None:
                yield f"{path}: there is no '{plain(child)}'"
            else:
                yield from problems(child, member, f"{path}.{plain(child)}")
        missing = set(shape.required_members) - {plain(child) for child in element}
        if missing:
            yield f"{path}: lacks {sorted(missing)}"
    elif shape.type_name == "list":
        name = shape.member.serialization.get("name", "member")
        for child in element:
            if plain(child) != name:
                yield f"{path}: holds '{plain(child)}' and not '{name}'"
            yield from problems(child, shape.member, f"{path}.{name}")
    else:
        text = element.text or ""
        try:
            {"integer": int, "long": int, "double": float, "string": str,
             "boolean": lambda value: {"true": True, "false": False}[value],
             "timestamp": lambda value: datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))}[shape.type_name](text)
        except (ValueError, KeyError):
            yield f"{path}: '{text}' is no {shape.type_name}"


def check(text, service, operation):
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)
    root = tree.fromstring(text)
    result = next((child for child in root if plain(child) == f"{operation}Result"), None)
    if plain(root) != f"{operation}Response" or result is None:
        return [f"it is no answer to {operation}"]
    return list(problems(result, model.output_shape, operation))


class Fixtures(unittest.TestCase):
    def test_every_answer_is_as_the_model_says(self):
        for name, (service, operation) in ANSWERS.items():
            self.assertEqual(check((FIXTURES / name).read_text(), service, operation), [], name)

    def test_what_the_model_does_not_know_is_found(self):
        text = (FIXTURES / "rds_automated_backups.xml").read_text()
        for old, new in [("Status>", "State>"), ("LatestTime>2026", "LatestTime>today, 2026"), (">true</Encrypted", ">yes</Encrypted"),
                         ("DBInstanceAutomatedBackup>", "member>")]:
            self.assertNotEqual(check(text.replace(old, new), "rds", "DescribeDBInstanceAutomatedBackups"), [], new)


if __name__ == "__main__":
    unittest.main()
