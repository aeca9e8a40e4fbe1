"""What deploy/ says must be what the program says: names of metrics, runbooks, parameters of the policy, addresses of the examples.

Metrics are those of docs/metrics.md, which a unit test of src/serve compares with the program's own list.
"""

import json
import pathlib
import re
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def metrics_of_the_program():
    page = (ROOT / "docs/metrics.md").read_text()
    return set(re.findall(r"^\| `(lifeboat_[a-z_]+)` \|", page, re.MULTILINE))


def metrics_in(text):
    return set(re.findall(r"\blifeboat_[a-z_]+", text))


def rules():
    groups = yaml.safe_load((DEPLOY / "prometheus/lifeboat-alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


class Metrics(unittest.TestCase):
    def test_the_page_lists_some(self):
        self.assertGreater(len(metrics_of_the_program()), 40)

    def test_every_metric_of_an_alert_exists(self):
        for rule in rules():
            self.assertLessEqual(metrics_in(rule["expr"]), metrics_of_the_program(), rule["alert"])

    def test_every_metric_of_the_dashboard_exists(self):
        dashboard = json.loads((DEPLOY / "grafana/lifeboat.json").read_text())
        asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
        asked += [variable["query"]["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
        asked += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
        self.assertGreater(len(asked), 20)
        for question in asked:
            self.assertLessEqual(metrics_in(question), metrics_of_the_program(), question)

    def test_every_metric_of_the_rules_own_tests_exists(self):
        text = (DEPLOY / "prometheus/lifeboat-alerts-test.yml").read_text()
        self.assertLessEqual(metrics_in(text), metrics_of_the_program())

    def test_a_metric_is_found_wherever_it_stands(self):
        self.assertEqual(metrics_in('rate(lifeboat_a_total{x="lifeboat"}[5m]) > on (y) lifeboat_b'), {"lifeboat_a_total", "lifeboat_b"})


class Alerts(unittest.TestCase):
    def test_each_has_a_severity_a_summary_and_a_runbook_that_is_there(self):
        for rule in rules():
            self.assertIn(rule["labels"]["severity"], ("page", "ticket"), rule["alert"])
            self.assertTrue(rule["annotations"]["summary"], rule["alert"])
            self.assertTrue((ROOT / rule["annotations"]["runbook_url"]).is_file(), rule["annotations"]["runbook_url"])

    def test_names_are_there_once(self):
        names = [rule["alert"] for rule in rules()]
        self.assertEqual(len(names), len(set(names)))

    def test_the_rules_that_ask_a_person_are_the_programs(self):
        sources = (ROOT / "src/decide/rules.cc").read_text() + (ROOT / "src/decide/managed.cc").read_text()
        for rule in rules():
            for numbers in re.findall(r'rule=~"([0-9|]+)"', rule["expr"]):
                for number in numbers.split("|"):
                    self.assertRegex(sources, r"\{\{%s, \"" % number, rule["alert"])


class Containers(unittest.TestCase):
    def setUp(self):
        self.compose = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())
        self.lifeboat = yaml.safe_load((DEPLOY / "docker/lifeboat.yaml").read_text())

    def test_each_agent_has_the_address_and_the_region_of_the_configuration(self):
        regions = {region["name"]: region["agent"] for region in self.lifeboat["regions"]}
        for name, service in self.compose["services"].items():
            region = service["command"][service["command"].index("--region") + 1]
            address = regions.pop(region)
            self.assertEqual(service["environment"]["LIFEBOAT_AGENT"], address, name)
            self.assertEqual(service["networks"]["agents"]["ipv4_address"] + ":7400", address, name)
            self.assertIn({"type": "volume", "source": name, "target": "/var/lib/lifeboat"}, service["volumes"])
        self.assertEqual(regions, {})

    def test_the_files_that_the_image_is_built_from_are_not_left_out_of_the_context(self):
        dockerfile = (DEPLOY / "docker/Dockerfile").read_text()
        kept = [line[1:] for line in (DEPLOY / "docker/Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
        copied = [word for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE) for word in line.split()[:-1]]
        self.assertGreater(len(copied), 6)
        for path in copied:
            self.assertTrue((ROOT / path).exists(), path)
            self.assertTrue(any(path == keep or path.startswith(keep + "/") for keep in kept), path)


class Terraform(unittest.TestCase):
    MODULE = DEPLOY / "terraform/lifeboat-aws"

    def test_every_parameter_of_the_chosen_statements_has_a_value(self):
        policy = (self.MODULE / "policy.tf").read_text()
        parts = re.search(r"policy_parts = \[(.*)\]", policy)[1]
        parts = set(re.findall(r'"([A-Za-z0-9]+)"', parts))
        given = set(re.findall(r"^      ([a-z_]+) +=", policy, re.MULTILINE))
        found = set()
        for statement in json.loads((DEPLOY / "aws/agent-policy.json").read_text())["Statement"]:
            part = re.sub(r"[0-9]+$", "", statement["Sid"])
            if part not in parts:
                continue
            found.add(part)
            wanted = set(re.findall(r"\{([a-z_]+)\}", json.dumps(statement)))
            self.assertLessEqual(wanted, given, statement["Sid"])
        self.assertEqual(found, parts)

    def test_no_action_of_the_program_is_repeated(self):
        program = {action for statement in json.loads((DEPLOY / "aws/agent-policy.json").read_text())["Statement"] for action in statement["Action"]}
        for path in self.MODULE.rglob("*.tf"):
            said = set(re.findall(r'"([a-z0-9-]+:[A-Z][A-Za-z]+)"', path.read_text()))
            # What health checks read, and the one action that is taken away.
            self.assertLessEqual(said & program, {"s3:GetObject", "rds:RemoveFromGlobalCluster"}, path)

    def test_the_marker_that_is_searched_is_the_word_that_the_program_writes(self):
        word = re.search(r'search_string += "([a-z-]+)"', (self.MODULE / "traffic.tf").read_text())[1]
        self.assertIn(f'"{word}"', "".join(path.read_text() for path in (ROOT / "src/adapters/aws").glob("traffic*.[ch]*")))


if __name__ == "__main__":
    unittest.main()
