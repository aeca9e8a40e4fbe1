#!/usr/bin/env python3
"""What the code can send to AWS is in the table of docs/aws.md, and the other way round.

Operations are found in the sources: the string literals of a file that name an operation of the service it speaks to, by the
vendor's own models. Policies under deploy/aws are parsed, and their actions compared with the table's.
"""
import functools
import json
import pathlib
import re
import unittest

import botocore.session

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The name in an endpoint → botocore's, IAM's prefix.
SERVICES = {
    "rds": ("rds", "rds"), "monitoring": ("cloudwatch", "cloudwatch"), "route53": ("route53", "route53"),
    "route53-recovery-cluster": ("route53-recovery-cluster", "route53-recovery-cluster"),
    "route53-recovery-control-config": ("route53-recovery-control-config", "route53-recovery-control-config"),
    "s3": ("s3", "s3"), "s3-control": ("s3control", "s3"), "sts": ("sts", "sts"), "dynamodb": ("dynamodb", "dynamodb"),
    "autoscaling": ("autoscaling", "autoscaling"), "application-autoscaling": ("application-autoscaling", "application-autoscaling"),
    "ecs": ("ecs", "ecs"), "eks": ("eks", "eks"), "elasticloadbalancing": ("elbv2", "elasticloadbalancing"),
    "events": ("events", "events"), "iam": ("iam", "iam"), "kms": ("kms", "kms"), "lambda": ("lambda", "lambda"),
    "secretsmanager": ("secretsmanager", "secretsmanager"), "servicequotas": ("service-quotas", "servicequotas"), "sns": ("sns", "sns"),
}
# Sent, and in need of no permission of IAM.
FREE = {
    ("sts", "GetCallerIdentity"): "nobody can be denied it",
    ("sts", "AssumeRole"): "what the role's own trust policy allows; only where a profile names a role",
    ("sts", "AssumeRoleWithWebIdentity"): "the token is the proof",
}
# In the code, and sent by nothing that is shipped: the call that would send it.
UNUSED = {
    ("dynamodb", "TransactWriteItems"): "dynamodb::TransactWriteItems(",  # tables with multi-region strong consistency refuse it
    ("s3", "DeleteObject"): "s3::DeleteObject(",
    ("route53", "GetChange"): "route53::GetChange(",
    ("route53", "ListHealthChecks"): "route53::ListHealthChecks(",
    ("route53", "ListHostedZones"): "route53::ListHostedZones(",
    ("route53-recovery-cluster", "ListRoutingControls"): "routing_control::ListControls(",
}


@functools.cache
def models():
    session = botocore.session.get_session()
    return {name: set(session.get_service_model(model).operation_names) for name, (model, _) in SERVICES.items()}


@functools.cache
def sent():
    """(IAM's prefix, operation) → the file that sends it."""
    operations = models()
    found = {}
    for path in sorted((ROOT / "src").glob("**/*.cc")):
        if path.name.endswith("_test.cc") or path.name in ("endpoint.cc", "permissions.cc"):
            continue
        if path.parent.name == "lab":  # it makes what it stands on in an emulator; no agent sends that
            continue
        text = path.read_text()
        declared = re.findall(r'(?:QueryService|JsonService) \w+\{"([a-z0-9-]+)"', text) + re.findall(r'\bservice = "([a-z0-9-]+)"', text)
        for service in declared:
            if service not in SERVICES:
                raise AssertionError(f"{path.name} speaks to '{service}', which this test does not know")
            for word in set(re.findall(r'"([A-Z][A-Za-z0-9]+)"', text)) & operations[service]:
                found[(SERVICES[service][1], word)] = path.name
    return found


def table():
    """(IAM's prefix, operation) and the set of actions, of the table."""
    rows = re.findall(r"^\| [^|]+ \| `([a-z0-9-]+):(\w+)` \| ([^|]+) \|", (ROOT / "docs/aws.md").read_text(), re.M)
    operations = {(prefix, name) for prefix, _, sent_as in rows for name in re.findall(r"`(\w+)`", sent_as)}
    return operations, {f"{prefix}:{action}" for prefix, action, _ in rows}


class IamTable(unittest.TestCase):
    def test_whatever_the_code_sends_is_in_the_table(self):
        known, _ = table()
        missing = {operation: file for operation, file in sent().items() if operation not in known | set(FREE) | set(UNUSED)}
        self.assertEqual(missing, {}, "add it to src/adapters/aws/permissions.cc, with why and which step")

    def test_whatever_the_table_says_is_sent_by_the_code(self):
        known, _ = table()
        self.assertEqual(known - set(sent()), set(), "the table promises what nothing sends: remove the row")

    def test_what_is_said_to_be_free_or_unused_is_in_the_code(self):
        self.assertEqual((set(FREE) | set(UNUSED)) - set(sent()), set())

    def test_what_is_said_to_be_unused_is_called_by_nothing(self):
        for path in (ROOT / "src").glob("**/*.cc"):
            if not path.name.endswith("_test.cc"):
                text = path.read_text()
                self.assertEqual([call for call in UNUSED.values() if call in text], [], f"{path.name} sends it: give it a row")

    def test_the_scan_sees_services_of_all_three_dialects(self):
        found = sent()
        for operation in [("rds", "FailoverGlobalCluster"), ("dynamodb", "PutItem"), ("s3", "PutObject"), ("route53", "ChangeResourceRecordSets")]:
            self.assertIn(operation, found)
        self.assertGreater(len(found), 40)

    def test_policies_allow_the_actions_of_the_table_and_no_others(self):
        _, actions = table()
        allowed = set()
        for path in sorted((ROOT / "deploy/aws").glob("*-policy.json")):
            policy = json.loads(path.read_text())
            sids = [statement["Sid"] for statement in policy["Statement"]]
            self.assertEqual(len(sids), len(set(sids)), path.name)
            for statement in policy["Statement"]:
                self.assertEqual(statement["Effect"], "Allow")
                self.assertNotIn("*", "".join(statement["Action"]), "no action by wildcard")
                allowed |= set(statement["Action"])
        self.assertEqual(allowed, actions)


if __name__ == "__main__":
    unittest.main()
