#!/usr/bin/env python3
"""Shows that validate_requests.py accepts what botocore itself sends, and refuses each kind of request that AWS would refuse."""
import copy
import json
import unittest

import boto3
from botocore.config import Config

import validate_requests

SECRETS = {"AKIDEXAMPLE": "a/secret+of the tests"}
MODELS = validate_requests.Models()
ROLE = "arn:aws:iam::123456789012:role/replication"


class Sent(Exception):
    pass


def recorded(service, operation, /, **params):
    """The request that the vendor's client would send, as the recorder writes it. Nothing is sent."""
    region = "eu-west-1"
    client = boto3.client(service, region_name=region, aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key=SECRETS["AKIDEXAMPLE"],
                          endpoint_url="http://127.0.0.1:9", config=Config(s3={"addressing_style": "path"}, parameter_validation=False))
    caught = {}

    def catch(request, **_):
        caught["request"] = request
        raise Sent

    client.meta.events.register(f"before-send.{client.meta.service_model.service_id.hyphenize()}.{operation}", catch)
    method = next(name for name, api in client.meta.method_to_api_mapping.items() if api == operation)
    try:
        getattr(client, method)(**params)
    except Sent:
        pass
    request = caught["request"]
    text = {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}
    text.setdefault("Host", "127.0.0.1:9")
    body = request.body or b""
    body = body if isinstance(body, (bytes, str)) else body.read()
    signed = "Authorization" in text
    return {"n": 1, "service": client.meta.service_model.signing_name if signed else "", "region": region, "operation": operation,
            "method": request.method, "path": request.url.partition("127.0.0.1:9")[2], "headers": list(map(list, text.items())),
            "body": body.decode() if isinstance(body, bytes) else body}


def problems(entry, secrets=None):
    return validate_requests.check(MODELS, entry, secrets or {})[1]


def changed(entry, old, new):
    """The same request with other words in its body, path or headers."""
    text = json.dumps(entry)
    assert json.dumps(old)[1:-1] in text, f"{old} does not stand in {text}"
    return json.loads(text.replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1]))


class Accepts(unittest.TestCase):
    CASES = [
        ("rds", "FailoverGlobalCluster", {"GlobalClusterIdentifier": "orders", "AllowDataLoss": True,
                                          "TargetDbClusterIdentifier": "arn:aws:rds:eu-west-1:123456789012:cluster:orders"}),
        ("rds", "DescribeGlobalClusters", {"Filters": [{"Name": "region", "Values": ["eu-west-1", "a b&c"]}], "MaxRecords": 20}),
        ("dynamodb", "PutItem", {"TableName": "lifeboat", "Item": {"a": {"S": "x"}, "b": {"B": b"\x00\xff"}, "n": {"N": "1"}},
                                 "ConditionExpression": "n = :n", "ExpressionAttributeValues": {":n": {"N": "1"}},
                                 "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}),
        ("s3", "PutObject", {"Bucket": "orders", "Key": "a b/ü?.html", "Body": b"x", "IfNoneMatch": "*"}),
        ("s3", "HeadObject", {"Bucket": "orders", "Key": "k"}),
        ("s3", "GetBucketReplication", {"Bucket": "orders"}),
        ("s3", "PutBucketReplication", {"Bucket": "orders", "ReplicationConfiguration": {"Role": ROLE, "Rules": [
            {"Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""}, "DeleteMarkerReplication": {"Status": "Enabled"},
             "Destination": {"Bucket": "arn:aws:s3:::copy"}}]}}),
        ("route53", "ChangeResourceRecordSets", {"HostedZoneId": "Z123", "ChangeBatch": {"Changes": [
            {"Action": "UPSERT", "ResourceRecordSet": {"Name": "a.test.", "Type": "CNAME", "TTL": 5, "SetIdentifier": "p",
                                                       "Failover": "PRIMARY", "ResourceRecords": [{"Value": "b.test."}]}}]}}),
        ("cloudwatch", "GetMetricData", {"StartTime": 1700000000, "EndTime": 1700000060, "MetricDataQueries": [
            {"Id": "a", "MetricStat": {"Metric": {"Namespace": "AWS/RDS", "MetricName": "AuroraGlobalDBRPOLag"}, "Period": 60,
                                       "Stat": "Maximum"}}]}),
        ("sts", "AssumeRoleWithWebIdentity", {"RoleArn": ROLE, "RoleSessionName": "abc", "WebIdentityToken": "abcd"}),
        ("autoscaling", "SetDesiredCapacity", {"AutoScalingGroupName": "web", "DesiredCapacity": 3, "HonorCooldown": False}),
        ("elbv2", "DescribeTargetHealth", {"TargetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/a/1"}),
        ("ecs", "UpdateService", {"cluster": "a", "service": "b", "desiredCount": 2}),
        ("eks", "UpdateNodegroupConfig", {"clusterName": "a", "nodegroupName": "b", "scalingConfig": {"desiredSize": 2}}),
        ("ec2", "DescribeInstances", {"InstanceIds": ["i-0123456789abcdef0"], "Filters": [{"Name": "a", "Values": ["b"]}]}),
        ("lambda", "Invoke", {"FunctionName": "hook", "Payload": b"{}"}),
        ("sns", "Publish", {"TopicArn": "arn:aws:sns:eu-west-1:123456789012:t", "Message": "m"}),
        ("route53-recovery-cluster", "UpdateRoutingControlState", {"RoutingControlState": "On", "RoutingControlArn": (
            "arn:aws:route53-recovery-control::123456789012:controlpanel/0123456789abcdef0123456789abcdef/"
            "routingcontrol/0123456789abcdef")}),
    ]

    def test_what_botocore_sends(self):
        for service, operation, params in self.CASES:
            with self.subTest(f"{service}.{operation}"):
                entry = recorded(service, operation, **params)
                name, found = validate_requests.check(MODELS, entry, SECRETS)
                self.assertEqual(found, [])
                self.assertEqual(name.rpartition(".")[2], operation)


class Refuses(unittest.TestCase):
    def setUp(self):
        self.failover = recorded(*Accepts.CASES[0][:2], **Accepts.CASES[0][2])
        self.put_item = recorded(*Accepts.CASES[2][:2], **Accepts.CASES[2][2])
        self.put_object = recorded(*Accepts.CASES[3][:2], **Accepts.CASES[3][2])
        self.records = recorded(*Accepts.CASES[7][:2], **Accepts.CASES[7][2])
        self.replication = recorded(*Accepts.CASES[6][:2], **Accepts.CASES[6][2])

    def refused(self, entry, word):
        found = problems(entry)
        self.assertTrue(any(word in problem for problem in found), f"{word} is not in {found}")

    def test_a_required_member_that_is_not_there(self):
        arn = "&TargetDbClusterIdentifier=arn%3Aaws%3Ards%3Aeu-west-1%3A123456789012%3Acluster%3Aorders"
        self.refused(changed(self.failover, arn, ""), 'Missing required parameter in input: "TargetDbClusterIdentifier"')
        self.refused(changed(self.put_item, '"TableName": "lifeboat", ', ""), 'Missing required parameter in input: "TableName"')
        self.refused(changed(self.records, "<Action>UPSERT</Action>", ""), 'Missing required parameter')

    def test_an_unknown_member(self):
        self.refused(changed(self.failover, "AllowDataLoss=", "AllowDataLost="), "unknown parameter 'AllowDataLost'")
        self.refused(changed(self.put_item, '"ConditionExpression"', '"Condition"'), "unknown member 'Condition'")
        self.refused(changed(self.records, "SetIdentifier", "SetIdentity"), "unknown member 'SetIdentity'")
        self.refused(changed(self.put_object, "If-None-Match", "x-amz-if-none-match"), "unknown header")
        self.refused(changed(self.put_object, "%3F.html", "%3F.html?versionid=3"), "unknown parameter 'versionid'")

    def test_a_type_that_is_another(self):
        self.refused(changed(self.failover, "AllowDataLoss=true", "AllowDataLoss=True"), "neither 'true' nor 'false'")
        self.refused(changed(self.records, "<TTL>5</TTL>", "<TTL>5s</TTL>"), "no whole number")
        self.refused(changed(self.put_item, '{"N": "1"}', '{"N": 1}'), "Invalid type")

    def test_a_value_outside_an_enumeration_a_pattern_or_a_length(self):
        self.refused(changed(self.put_item, "ALL_OLD", "ALL"), "none of ALL_OLD")
        self.refused(changed(self.records, "PRIMARY", "FIRST"), "none of PRIMARY")
        self.refused(changed(self.replication, "<Status>Enabled</Status>", "<Status>On</Status>"), "none of Enabled")
        entry = recorded("sts", "AssumeRole", RoleArn=ROLE, RoleSessionName="a b")
        self.refused(entry, "does not match")
        entry = recorded("sts", "AssumeRole", RoleArn=ROLE, RoleSessionName="a")
        self.refused(entry, "Invalid length")

    def test_another_version_operation_path_or_content_type(self):
        self.refused(changed(self.failover, "2014-10-31", "2014-09-01"), "Version is '2014-09-01'")
        self.refused(changed(self.failover, "Action=FailoverGlobalCluster", "Action=FailoverGlobal"), "FailoverGlobal")
        self.refused(changed(self.records, "/2013-04-01/hostedzone", "/2013-04-01/zones"), "no operation has")
        self.refused(changed(self.put_item, "application/x-amz-json-1.0", "application/json"), "Content-Type")

    def test_a_document_of_another_name_or_namespace(self):
        self.refused(changed(self.records, "ChangeResourceRecordSetsRequest", "ChangeRequest"), "the document is a 'ChangeRequest'")
        self.refused(changed(self.records, "route53.amazonaws.com/doc/2013-04-01/", "route53.amazonaws.com/doc/2012/"), "namespace")

    def test_a_signature_of_another_key_region_body_or_header(self):
        entry = copy.deepcopy(self.put_item)
        self.assertIn("not the one that botocore computes", problems(entry, {"AKIDEXAMPLE": "another"})[0])
        self.assertEqual(problems(entry, SECRETS), [])
        self.assertIn("not the one", problems(changed(entry, "n = :n", "n < :n"), SECRETS)[0])
        self.assertIn("not the one", problems(changed(entry, "/eu-west-1/dynamodb", "/eu-west-2/dynamodb"), SECRETS)[0])
        self.assertIn("is not signed", problems(changed(entry, ";x-amz-target", ""), SECRETS)[0])

    def test_a_request_that_is_not_signed(self):
        entry = copy.deepcopy(self.failover)
        entry["headers"] = [header for header in entry["headers"] if header[0] != "Authorization"]
        entry["service"] = ""
        self.assertTrue(problems(entry))


if __name__ == "__main__":
    unittest.main()
