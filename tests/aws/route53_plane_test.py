#!/usr/bin/env python3
"""The rules of Route 53's data plane, one by one, without a clock or a network."""
import unittest

from route53_plane import Checker, NotSupported, answers, choose, enough, healthy_checks, place, updates


def record(value, failover=None, check=None, name="db.test.", ttl=5):
    made = {"Name": name, "Type": "A", "TTL": ttl, "ResourceRecords": [{"Value": value}]}
    made.update({"SetIdentifier": failover, "Failover": failover} if failover else {})
    made.update({"HealthCheckId": check} if check else {})
    return made


def values(records, healthy):
    return [entry["ResourceRecords"][0]["Value"] for entry in choose(records, healthy)]


class Checks(unittest.TestCase):
    def test_a_check_is_healthy_if_more_than_18_percent_of_its_checkers_say_so(self):
        self.assertFalse(enough([True] * 18 + [False] * 82))
        self.assertTrue(enough([True] * 19 + [False] * 81))
        self.assertTrue(enough([True] * 3 + [False] * 13))
        self.assertFalse(enough([True] * 2 + [False] * 14))

    def test_a_checker_changes_its_mind_after_as_many_answers_in_a_row_as_the_threshold(self):
        checker = Checker()
        for good, healthy in ((False, True), (False, True), (True, True), (False, True), (False, True), (False, False), (True, False),
                              (True, False), (True, True)):
            checker.note(good, 3)
            self.assertEqual(checker.healthy, healthy)

    def test_inverted_turns_it_round_also_where_it_is_new_or_disabled(self):
        probed = {"Type": "HTTP"}
        healthy = healthy_checks({"new": probed, "inverted": {**probed, "Inverted": True}, "off": {**probed, "Disabled": True},
                                  "off inverted": {**probed, "Disabled": True, "Inverted": True}}, {"off": [False], "off inverted": [False]})
        self.assertEqual(healthy, {"new": True, "inverted": False, "off": True, "off inverted": False})
        self.assertEqual(healthy_checks({"a": {**probed, "Inverted": True}}, {"a": [False] * 16}), {"a": True})

    def test_a_calculated_check_counts_its_children(self):
        configs = {"a": {"Type": "HTTP"}, "b": {"Type": "HTTP"},
                   "two": {"Type": "CALCULATED", "ChildHealthChecks": ["a", "b"], "HealthThreshold": 2},
                   "one": {"Type": "CALCULATED", "ChildHealthChecks": ["a", "b"], "HealthThreshold": 1},
                   "none": {"Type": "CALCULATED", "ChildHealthChecks": ["a", "b"], "HealthThreshold": 1, "Inverted": True}}
        healthy = healthy_checks(configs, {"a": [True], "b": [False]})
        self.assertEqual((healthy["two"], healthy["one"], healthy["none"]), (False, True, False))

    def test_what_it_cannot_judge_it_says(self):
        for config in ({"Type": "CLOUDWATCH_METRIC"}, {"Type": "RECOVERY_CONTROL"},
                       {"Type": "CALCULATED", "ChildHealthChecks": ["gone"], "HealthThreshold": 1}):
            with self.assertRaises(NotSupported):
                healthy_checks({"x": config}, {})

    def test_a_check_on_s3_is_asked_of_the_emulator(self):
        config = {"Type": "HTTPS", "FullyQualifiedDomainName": "stop.s3.us-west-2.amazonaws.com", "ResourcePath": "/failover"}
        self.assertEqual(place(config, "http://127.0.0.1:1"), "http://127.0.0.1:1/stop/failover")
        self.assertEqual(place({"Type": "HTTP", "IPAddress": "127.0.0.1", "Port": 81}, ""), "http://127.0.0.1:81/")


class Records(unittest.TestCase):
    PAIR = [record("1.1.1.1", "PRIMARY", "p"), record("2.2.2.2", "SECONDARY", "s")]

    def test_the_primary_while_it_is_healthy_then_the_secondary(self):
        self.assertEqual(values(self.PAIR, {"p": True, "s": True}), ["1.1.1.1"])
        self.assertEqual(values(self.PAIR, {"p": False, "s": True}), ["2.2.2.2"])

    def test_both_unhealthy_is_the_primary_and_never_nothing(self):
        self.assertEqual(values(self.PAIR, {"p": False, "s": False}), ["1.1.1.1"])
        self.assertEqual(values(self.PAIR[:1], {"p": False}), ["1.1.1.1"])

    def test_a_record_without_a_check_is_always_healthy(self):
        pair = [record("1.1.1.1", "PRIMARY", "p"), record("2.2.2.2", "SECONDARY")]
        self.assertEqual(values(pair, {"p": False}), ["2.2.2.2"])

    def test_simple_records_have_no_health(self):
        self.assertEqual(values([record("1.1.1.1")], {}), ["1.1.1.1"])

    def test_other_ways_of_routing_are_refused_aloud(self):
        for extra in ({"Weight": 1}, {"Region": "eu-west-1"}, {"AliasTarget": {}}):
            with self.assertRaises(NotSupported):
                choose([{**record("1.1.1.1"), **extra}], {})

    def test_one_update_moves_a_name_without_emptying_it(self):
        before = answers(self.PAIR, {"p": True, "s": True})
        after = answers(self.PAIR, {"p": False, "s": True})
        self.assertEqual(updates("test.", {}, before), ["zone test.", "del db.test. A", "add db.test. 5 A 1.1.1.1", "send"])
        self.assertEqual(updates("test.", before, after), ["zone test.", "del db.test. A", "add db.test. 5 A 2.2.2.2", "send"])
        self.assertEqual(updates("test.", after, after), [])
        self.assertEqual(updates("test.", after, {}), ["zone test.", "del db.test. A", "send"])


if __name__ == "__main__":
    unittest.main()
