"""Aurora's data plane of the tests, against a real emulator and real PostgreSQL: what it decides, and what becomes of rows."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

import boto3
from botocore.config import Config

from aurora_plane import asked_for, members_of
from aurora_servers import programs

HERE = os.path.dirname(os.path.abspath(__file__))
ONE, TWO = "us-east-1", "eu-west-1"
PATIENCE = 60


def arn(region, cluster="c"):
    return f"arn:aws:rds:{region}:123456789012:cluster:{cluster}"


def request(operation, target, at, **more):
    form = {"Action": operation, "GlobalClusterIdentifier": "orders", "TargetDbClusterIdentifier": arn(target), **more}
    return json.dumps({"operation": operation, "at": at, "body": urllib.parse.urlencode(form)})


class Decisions(unittest.TestCase):
    def test_the_writer_is_the_member_that_the_emulator_calls_so(self):
        described = {"GlobalClusters": [{"GlobalClusterMembers": [{"DBClusterArn": arn(ONE, "a"), "IsWriter": False},
                                                                  {"DBClusterArn": arn(TWO, "b"), "IsWriter": True}]}]}
        self.assertEqual(members_of(described), (TWO, {ONE: "a", TWO: "b"}))
        self.assertEqual(members_of({"GlobalClusters": [{}]}), (None, {}))

    def test_the_request_that_asked_says_whether_loss_was_allowed(self):
        lines = [request("FailoverGlobalCluster", TWO, 10, AllowDataLoss="true"), request("SwitchoverGlobalCluster", ONE, 20)]
        self.assertEqual(asked_for(lines, "orders", TWO, 5), "failover")
        self.assertEqual(asked_for(lines, "orders", ONE, 5), "switchover")
        self.assertEqual(asked_for([request("FailoverGlobalCluster", TWO, 10)], "orders", TWO, 5), "switchover")

    def test_a_request_of_an_earlier_move_or_another_database_says_nothing(self):
        lines = [request("FailoverGlobalCluster", TWO, 10, AllowDataLoss="true")]
        self.assertIsNone(asked_for(lines, "orders", TWO, 11))
        self.assertIsNone(asked_for(lines, "others", TWO, 5))
        self.assertIsNone(asked_for(lines, "orders", ONE, 5))


class Program:
    """One that serves until it is ended. Its log is shown where it does not begin to."""

    def __init__(self, *arguments):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([sys.executable, "-B", os.path.join(HERE, arguments[0]), *arguments[1:]],
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.ports = [int(word) for word in self.process.stdout.readline().split()]
        if not self.ports:
            self.log.seek(0)
            raise AssertionError(self.log.read())

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.log.close()


def eventually(condition, why):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(why() if callable(why) else why)
        time.sleep(0.05)


class World(unittest.TestCase):
    """An emulator, a road, and a global database with PostgreSQL behind it, for a class of tests; each leaves the writer in ONE."""

    DELAY = "0"

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="lifeboat-aurora-test-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.emulator = Program("emulator.py", "ministack")
        cls.addClassCleanup(cls.emulator.end)
        cls.recording = os.path.join(cls.folder.name, "requests.jsonl")
        upstream = f"http://127.0.0.1:{cls.emulator.ports[0]}"
        cls.road = Program("proxy.py", upstream, cls.recording)
        cls.addClassCleanup(cls.road.end)
        cls.make_database()
        cls.plane = Program("aurora_plane.py", "--aws", upstream, "--global", "orders", "--region", ONE, "--region", TWO,
                            "--recording", cls.recording, "--delay", cls.DELAY, "--report-lag", "1")
        cls.addClassCleanup(lambda: cls.plane.end())
        eventually(lambda: cls.state()["regions"][TWO]["lag_msec"] is not None, lambda: str(cls.state()))

    @classmethod
    def rds(cls, region, service="rds"):
        return boto3.client(service, region_name=region, endpoint_url=f"http://127.0.0.1:{cls.road.ports[0]}",
                            aws_access_key_id="test", aws_secret_access_key="test", config=Config(retries={"max_attempts": 1}))

    @classmethod
    def make_database(cls):
        version = {"Engine": "aurora-postgresql", "EngineVersion": "17.7"}
        cls.rds(ONE).create_global_cluster(GlobalClusterIdentifier="orders", **version)
        for region, more in ((ONE, {"MasterUsername": "ann", "MasterUserPassword": "not-a-secret-1"}), (TWO, {})):
            cls.rds(region).create_db_cluster(DBClusterIdentifier=f"orders-{region}", GlobalClusterIdentifier="orders", **version,
                                              **more)

    @classmethod
    def ask(cls, method, path, body=None):
        asked = urllib.request.Request(f"http://127.0.0.1:{cls.plane.ports[0]}{path}", method=method,
                                       data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    @classmethod
    def state(cls):
        return cls.ask("GET", "/state")

    def role(self, region):
        return self.state()["regions"][region]["role"]

    def psql(self, region, sql, endpoint="writer_endpoint", user="clients"):
        """@return what was answered; None: it was not"""
        state = self.state()
        host = state["regions"][region][endpoint]
        conninfo = (f"host={host} port={state['port']} user={user} dbname={state['database']} passfile={state['passfile']} "
                    f"sslmode=verify-full sslrootcert={state['ca']} connect_timeout=2")
        done = subprocess.run([os.path.join(programs(), "psql"), "-XAtq", "-d", conninfo, "-c", sql], text=True, capture_output=True,
                              timeout=PATIENCE)
        return done.stdout.strip() if done.returncode == 0 else None

    def write(self, region, n):
        return self.psql(region, f"INSERT INTO ledger_rows(client, n) VALUES (1, {n})") is not None

    def rows(self, region, endpoint="reader_endpoint"):
        return [int(line) for line in (self.psql(region, "SELECT n FROM ledger_rows ORDER BY n", endpoint) or "").split()]

    def move(self, operation, target, **more):
        described = self.rds(target).describe_global_clusters(GlobalClusterIdentifier="orders")["GlobalClusters"][0]
        member = next(m["DBClusterArn"] for m in described["GlobalClusterMembers"] if target in m["DBClusterArn"])
        before = len(self.state()["moves"])
        getattr(self.rds(target), operation)(GlobalClusterIdentifier="orders", TargetDbClusterIdentifier=member, **more)
        eventually(lambda: len(self.state()["moves"]) > before, lambda: str(self.state()))
        self.assertEqual(self.state()["writer"], target)

    def await_reader(self, region):
        eventually(lambda: self.role(region) == "reader" and self.state()["regions"][region]["lag_msec"] is not None,
                   lambda: str(self.state()))


class Rows(World):
    def test_a_switchover_loses_nothing_and_the_old_writer_follows(self):
        self.assertTrue(self.write(ONE, 1))
        self.assertFalse(self.write(TWO, 2), "a reader's writer endpoint takes nothing")
        self.move("switchover_global_cluster", TWO)
        self.assertEqual(self.state()["moves"][-1]["kind"], "switchover")
        self.assertTrue(self.write(TWO, 3))
        self.assertFalse(self.write(ONE, 4))
        self.await_reader(ONE)
        eventually(lambda: {1, 3} <= set(self.rows(ONE)), "row 3 does not arrive")
        self.move("switchover_global_cluster", ONE)
        self.await_reader(TWO)

    def test_what_aurora_says_of_lag_is_measured_on_the_writer_and_known_to_the_reader(self):
        sql = ("SELECT aws_region, rpo_lag_in_msec >= 0, last_lag_calculation_time > 'epoch' FROM aurora_global_db_status() "
               "ORDER BY 1 DESC")
        eventually(lambda: self.psql(ONE, sql) == f"{ONE}|f|f\n{TWO}|t|t", "the writer does not know: the reader has just begun to stream")
        eventually(lambda: self.psql(TWO, sql, "reader_endpoint") == f"{ONE}|f|f\n{TWO}|t|t", "the reader does not know")
        cloud = self.rds(TWO, "cloudwatch")
        told = lambda: [metric["MetricName"] for metric in cloud.list_metrics(Namespace="AWS/RDS")["Metrics"]]
        eventually(lambda: "AuroraGlobalDBRPOLag" in told(), "CloudWatch is told nothing")

    def test_an_old_writer_whose_fencing_times_out_goes_on_taking_writes_that_are_lost(self):
        self.ask("PUT", "/fencing", {"works": False})
        self.move("failover_global_cluster", TWO, AllowDataLoss=True)
        self.assertEqual((self.state()["moves"][-1]["kind"], self.role(ONE)), ("failover", "unfenced"))
        self.assertTrue(self.write(ONE, 100), "nobody has stopped it")
        self.assertTrue(self.write(TWO, 101))
        self.ask("PUT", "/fencing", {"works": True})
        self.assertEqual(self.role(ONE), "reader")
        eventually(lambda: 101 in self.rows(ONE), "it does not follow")
        self.assertNotIn(100, self.rows(ONE), "it has a new volume")
        self.assertTrue(os.path.isdir(self.state()["regions"][ONE]["data"] + ".lost-1"), "what it had taken is kept")
        self.move("failover_global_cluster", ONE, AllowDataLoss=True)
        self.assertEqual(self.role(TWO), "reader", "this one was fenced, and built anew")
        self.assertFalse(self.write(TWO, 102))


class Losses(World):
    DELAY = "1.5"

    def test_what_was_on_its_way_is_lost_with_the_region_and_nothing_else(self):
        self.assertTrue(self.write(ONE, 1))
        eventually(lambda: self.rows(TWO) == [1], "row 1 does not arrive")
        self.assertTrue(self.write(ONE, 2))
        lost = self.ask("PUT", "/lose", {"region": ONE})
        self.assertGreater(lost["processes"], 1)
        self.assertFalse(self.write(ONE, 3))
        self.move("failover_global_cluster", TWO, AllowDataLoss=True)
        self.assertEqual(self.rows(TWO), [1])
        self.assertTrue(self.write(TWO, 4))
        self.assertFalse(self.write(ONE, 5))
        self.ask("PUT", "/return", {"region": ONE})
        self.await_reader(ONE)
        eventually(lambda: self.rows(ONE) == [1, 4], lambda: str(self.rows(ONE)))
        self.assertTrue(self.write(TWO, 6))
        self.move("switchover_global_cluster", ONE)
        self.assertEqual(self.rows(ONE), [1, 4, 6], "what is on its way is waited for")


class Ends(World):
    def test_a_frozen_region_is_built_anew_and_nothing_outlives_the_plane_however_it_ends(self):
        self.ask("PUT", "/lose", {"region": ONE, "how": "freeze"})
        self.move("failover_global_cluster", TWO, AllowDataLoss=True)
        self.ask("PUT", "/return", {"region": ONE})
        self.await_reader(ONE)
        self.ask("PUT", "/lose", {"region": TWO, "how": "freeze"})
        root = os.path.dirname(self.state()["ca"])
        self.plane.end(signal.SIGKILL)
        type(self).plane.end = lambda *_: None
        eventually(lambda: not os.path.exists(root), "its folder is there")
        self.assertEqual([pid for pid in os.listdir("/proc") if pid.isdigit() and works_in(pid, root)], [])


def works_in(pid, root):
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(root)
    except OSError:
        return False


if __name__ == "__main__":
    unittest.main()
