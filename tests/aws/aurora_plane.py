#!/usr/bin/env python3
"""Aurora's data plane behind an emulator's global cluster, which moves a writer and runs no database: real PostgreSQL servers, one a
region, that stream to one another and do what AWS says of switchover, failover, fencing and return.

  aurora_plane.py --aws URL --global ID --region WRITER --region READER [--delay 0.3] [--report-lag 20] [--recording FILE]…
                  [--name NAME]… [--log FILE]

The first line of standard output is the port of its control, and the one port of all endpoints.

Every 200 ms the emulator is asked for its global cluster. When the writer has moved:
  switchover         writes end in the old region, which stops when the new one has everything; promotion; the old one follows
  failover           the new one is promoted with what it has. The old one, if it is alive, is stopped at once (AWS's fencing), or goes
                     on taking writes where fencing times out (PUT /fencing); it comes back on a new volume, the old one is kept
  member detached    it is promoted with what it has and stands apart; nobody is stopped
Which of the first two: the request in the recording of the road (tests/aws/proxy.py) that asked for it; where none did, a region that
is lost was failed over from, and one that is there was switched over from.

Endpoints, by addresses: writer 127.79.0.1, .2, … in the order of --region, reader 127.79.0.11, .12, …; TLS, made out to them and --name.
A writer endpoint ends every connection while the region is a reader; those of a lost region take connections and say nothing.
--delay holds what the writer sends its reader: that much is on its way, and lost with a region.
--report-lag puts what was measured into the emulator's CloudWatch as AuroraGlobalDBRPOLag and AuroraGlobalDBReplicationLag, every so
many seconds. --log: of the servers; else it goes with them.

Control (JSON over HTTP; answers when it is done):
  GET /state                      {"writer", "port", "ca", "passfile", "database", "problem",
                                  "regions": {region: {"role", "writer_endpoint", "reader_endpoint", "lost", "lag_msec", "data"}},
                                  "moves": [{"kind", "from", "to", "began_ns", "ended_ns"}]}
  PUT /lose   {"region", "how"}   "kill" or "freeze" all of the region at one instant: {"processes", "at_ns", "monotonic_ns"}
  PUT /return {"region"}          a reader returns on a new volume; who is still the writer goes on with what it has
  PUT /fencing {"works": bool}    whether a failover stops an old writer that is alive; true stops one that was left
roles: writer, reader, apart (detached), unfenced (an old writer that was left), gone (failed over from while it was lost)
"""
import argparse
import http.server
import json
import os
import queue
import signal
import sys
import tempfile
import threading
import time
import urllib.parse

from aurora_servers import (DATABASE, NOTE, Problem, Relay, Server, end_all, end_with_us, free_port, make_certificates,
                            make_passwords, signal_all, start_loop)

POLL = 0.2
NOTE_EVERY = 1.0


# ---- what is decided: no clock, no network ----


def region_of(arn):
    return arn.split(":")[3]


def members_of(described):
    """@param described: answer of DescribeGlobalClusters for one id  @return the writer's region or None, {region: cluster}"""
    members = described["GlobalClusters"][0].get("GlobalClusterMembers", [])
    writer = next((region_of(member["DBClusterArn"]) for member in members if member.get("IsWriter")), None)
    return writer, {region_of(member["DBClusterArn"]): member["DBClusterArn"].split(":")[-1] for member in members}


def asked_for(lines, global_cluster, target, since):
    """The newest request of a road's recording that moves the writer to `target`. @return "failover", "switchover" or None"""
    for line in reversed(lines):
        request = json.loads(line)
        if request["operation"] not in ("FailoverGlobalCluster", "SwitchoverGlobalCluster") or request["at"] < since:
            continue
        form = urllib.parse.parse_qs(request.get("body", ""))
        if form.get("GlobalClusterIdentifier") != [global_cluster] or region_of(form["TargetDbClusterIdentifier"][0]) != target:
            continue
        return "failover" if form.get("AllowDataLoss") == ["true"] else "switchover"
    return None


# ---- the world ----


class Region:
    def __init__(self, plane, name, at):
        self.name, self.role, self.lost, self.lag = name, "reader", None, None
        self.server = Server(plane.root, name, plane.passfile, plane.log)
        self.writer_address, self.reader_address = f"127.79.0.{1 + at}", f"127.79.0.{11 + at}"

    def open(self, plane):
        """Its endpoints and the link by which it follows the other region; all closed at first."""
        other = next(region for region in plane.regions.values() if region is not self)
        self.writer = Relay(plane.loop, self.writer_address, plane.port, self.server.port)
        self.reader = Relay(plane.loop, self.reader_address, plane.port, self.server.port)
        self.link = Relay(plane.loop, "127.0.0.1", 0, other.server.port, plane.options.delay)

    def show(self):
        """What its endpoints answer, by its role."""
        takes = self.role in ("writer", "apart", "unfenced")
        self.writer.set("silent" if self.lost else "open" if takes else "closed")
        self.reader.set("silent" if self.lost else "closed" if self.role == "gone" else "open")
        self.link.set("silent" if self.lost else "open" if self.role == "reader" else "closed")


class Plane:
    def __init__(self, options):
        import boto3
        from botocore.config import Config

        self.options = options
        known = {"endpoint_url": options.aws, "aws_access_key_id": "plane", "aws_secret_access_key": "plane",
                 "config": Config(retries={"max_attempts": 1})}
        self.client = lambda service, region: boto3.client(service, region_name=region, **known)
        self.rds, self.clouds = self.client("rds", options.region[0]), {}
        self.root = tempfile.mkdtemp(prefix="lifeboat-aurora-")
        os.chmod(self.root, 0o755)
        self.kept = end_with_us(self.root)
        self.loop, self.commands = start_loop(), queue.Queue()
        self.passwords, self.passfile, self.clients = make_passwords(self.root)
        self.log = open(options.log or os.path.join(self.root, "postgresql.log"), "a")
        self.regions, self.clusters, self.moves = {}, {}, []
        self.fencing, self.problem, self.noted, self.reported = True, "", 0.0, 0.0
        self.since = time.time()

    def build(self):
        for at, name in enumerate(self.options.region):
            self.regions[name] = Region(self, name, at)
        self.port = free_port([address for region in self.regions.values() for address in (region.writer_address, region.reader_address)])
        files = make_certificates(self.root, {name: [region.writer_address, region.reader_address, *self.options.name]
                                              for name, region in self.regions.items()})
        for name, region in self.regions.items():
            region.open(self)
            region.server.configure(*files[name], region.link.port)
        first, *others = self.regions.values()
        first.role = "writer"
        first.server.create(self.passwords)
        for other in others:
            other.server.copy_from(first.server)
            other.show()
            other.server.start()
        for region in self.regions.values():
            region.show()

    def writer(self):
        return next((region for region in self.regions.values() if region.role == "writer"), None)

    # ---- what follows the emulator ----

    def round(self):
        described = self.rds.describe_global_clusters(GlobalClusterIdentifier=self.options.global_)
        wanted, members = members_of(described)
        if len(members) > len(self.clusters):
            self.clusters = members
        now = self.writer()
        if wanted in self.regions and self.regions[wanted].role == "reader" and wanted != (now.name if now else None):
            self.move(now, self.regions[wanted])
        for name, region in self.regions.items():
            if name in self.clusters and name not in members and region.role == "reader" and not region.lost:
                self.detach(region)
        self.note()
        self.problem = ""

    def move(self, old, new):
        began = time.time_ns()
        kind = self.kind_of_move(old, new)
        if kind == "switchover":
            self.switch_over(old, new)
        else:
            self.fail_over(old, new)
        self.moves.append({"kind": kind, "from": old.name, "to": new.name, "began_ns": began, "ended_ns": time.time_ns()})
        self.since, self.noted, self.reported = began / 1e9, 0.0, 0.0
        print(f"{kind} from {old.name} to {new.name}", file=sys.stderr, flush=True)

    def kind_of_move(self, old, new):
        if old.lost:
            return "failover"
        for path in self.options.recording:
            with open(path) as recording:
                found = asked_for(recording.readlines(), self.options.global_, new.name, self.since)
            if found:
                return found
        return "switchover"

    def switch_over(self, old, new):
        """Loses nothing: the promotion waits for everything that was ever acknowledged."""
        old.writer.set("closed")
        old.server.await_true("SELECT EXISTS (SELECT FROM pg_stat_replication "
                              f"WHERE application_name = '{new.name}' AND state = 'streaming')")
        old.server.stop(signal.SIGINT)
        try:
            last = old.server.checkpoint_position()
            new.server.await_true(f"SELECT pg_last_wal_receive_lsn() > '{last}'::pg_lsn", 20)
        except Problem:
            old.server.start()
            old.show()
            raise
        self.promote(new)
        old.role = "reader"
        old.server.become_standby()
        old.show()
        old.server.start()

    def fail_over(self, old, new):
        if old.lost:
            old.role = "gone"
        elif self.fencing:
            self.fence(old)
        else:
            old.role = "unfenced"
        old.show()
        self.promote(new)
        if not old.lost and old.role == "gone":
            self.rebuild(old)

    @staticmethod
    def fence(region):
        region.role = "gone"
        region.show()
        region.server.stop(signal.SIGQUIT)

    @staticmethod
    def promote(region, role="writer"):
        region.link.set("closed")
        region.server.promote()
        region.role, region.lag = role, None
        region.show()

    def detach(self, region):
        began = time.time_ns()
        self.promote(region, "apart")
        self.moves.append({"kind": "detach", "from": None, "to": region.name, "began_ns": began, "ended_ns": time.time_ns()})

    def rebuild(self, region):
        region.server.copy_from(self.writer().server)
        region.role = "reader"
        region.show()
        region.server.start()

    def note(self):
        """What the writer knows of lag: for the function on readers, for the state, and for CloudWatch."""
        writer = self.writer()
        if not writer or writer.lost or time.monotonic() < self.noted + NOTE_EVERY:
            return
        self.noted = time.monotonic()
        writer.server.sql(NOTE)
        fresh = writer.server.sql("SELECT aws_region || ' ' || rpo_lag_in_msec FROM aurora_global_db_status() "
                                  "WHERE rpo_lag_in_msec >= 0 AND last_lag_calculation_time > now() - interval '5 s'")
        lags = {region: int(lag) for region, lag in (line.split() for line in fresh.splitlines())}
        for name, region in self.regions.items():
            region.lag = lags.get(name)
        if lags and time.monotonic() >= self.reported + self.options.report_lag and all(name in self.clusters for name in lags):
            self.reported = time.monotonic()
            for name, lag in lags.items():
                self.report(name, lag)

    def report(self, name, lag):
        cloud = self.clouds.setdefault(name, self.client("cloudwatch", name))
        dimensions = [{"Name": "DBClusterIdentifier", "Value": self.clusters[name]}]
        data = [{"MetricName": metric, "Dimensions": dimensions, "Value": lag, "Unit": "Milliseconds"}
                for metric in ("AuroraGlobalDBRPOLag", "AuroraGlobalDBReplicationLag")]
        cloud.put_metric_data(Namespace="AWS/RDS", MetricData=data)

    # ---- what is told ----

    def lose(self, region, how):
        region.lost = how
        region.show()  # before anything of it is killed, so that nobody hears of its end
        at = {"at_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()}
        count = region.server.kill() if how == "kill" else signal_all(region.server.data, signal.SIGSTOP)
        return {"processes": count, **at}

    def return_(self, region):
        how, region.lost = region.lost, None
        if how == "freeze":
            if region.role == "gone":  # AWS takes the old volume away: it never serves again
                region.server.kill()
            else:
                signal_all(region.server.data, signal.SIGCONT)
        if region.role == "gone":
            self.rebuild(region)
        elif how == "kill":
            region.server.start()
        region.show()
        return {}

    def set_fencing(self, works):
        self.fencing = works
        for region in self.regions.values():
            if works and region.role == "unfenced":
                self.fence(region)
                self.rebuild(region)
        return {}

    def state(self):
        writer = self.writer()
        return {"writer": writer.name if writer else None, "port": self.port, "ca": os.path.join(self.root, "ca.pem"),
                "passfile": self.clients, "database": DATABASE, "moves": list(self.moves), "problem": self.problem,
                "regions": {name: {"role": region.role, "lost": region.lost, "lag_msec": region.lag, "data": region.server.data,
                                   "writer_endpoint": region.writer_address, "reader_endpoint": region.reader_address}
                            for name, region in self.regions.items()}}

    def obey(self, path, given):
        if path == "/lose":
            return self.lose(self.regions[given["region"]], given.get("how", "kill"))
        if path == "/return":
            return self.return_(self.regions[given["region"]])
        if path == "/fencing":
            return self.set_fencing(given["works"])
        raise Problem(f"there is no {path}")

    def run(self):
        """The one thread that touches servers."""
        due = time.monotonic()
        while True:
            try:
                path, given, answer = self.commands.get(timeout=max(due - time.monotonic(), 0))
                try:
                    answer.put((200, self.obey(path, given)))
                except Exception as problem:
                    answer.put((500, {"problem": f"{type(problem).__name__}: {problem}"}))
            except queue.Empty:
                due = time.monotonic() + POLL
                try:
                    self.round()
                except Exception as problem:  # shown, and tried again: the emulator may be gone for a moment
                    self.tell(f"{type(problem).__name__}: {problem}")

    def tell(self, problem):
        if problem != self.problem:
            print(problem, file=sys.stderr, flush=True)
        self.problem = problem


def serve(plane):
    class Control(http.server.BaseHTTPRequestHandler):
        def answer(self, status, value):
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self):
            self.answer(200, plane.state())

        def do_PUT(self):
            given, answer = json.loads(self.rfile.read(int(self.headers["Content-Length"]))), queue.Queue()
            plane.commands.put((self.path, given, answer))
            self.answer(*answer.get())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Control)
    print(server.server_port, plane.port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aws", required=True)
    parser.add_argument("--global", dest="global_", required=True)
    parser.add_argument("--region", action="append", required=True)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--report-lag", type=float, default=20.0)
    parser.add_argument("--recording", action="append", default=[])
    parser.add_argument("--name", action="append", default=[])
    parser.add_argument("--log")
    options = parser.parse_args()
    if len(options.region) != 2:
        parser.error("two regions, please")
    plane = Plane(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        plane.build()
        serve(plane)
        plane.run()
    finally:
        end_all(plane.root)


if __name__ == "__main__":
    main()
