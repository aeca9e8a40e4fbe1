#!/usr/bin/env python3
"""Route 53's data plane, as its documentation describes it: probes what the emulator's health checks name, decides which records
are answered, and writes those into a real DNS server by TSIG-signed updates. The emulators only store checks and records.

  route53_plane.py --aws URL --dns ADDRESS PORT --key ALGORITHM:NAME:SECRET [--checkers 16] [--second 0.02]

The first line of standard output is the port of its control. Where the documentation says a second, --second of one pass.

Control (JSON over HTTP):
  PUT /blind   {health check id: share of its checkers that reach nothing}
  GET /state   {"rounds": n, "checks": {id: {"healthy", "checkers_healthy", "checkers"}}, "answers": {"name type": [value]}, "problem"}

Rules, by the Route 53 developer guide ("How Amazon Route 53 determines whether a health check is healthy", "... chooses records
when health checking is configured"):
  - checkers do not talk to each other; each changes its mind after FailureThreshold answers in a row
  - a check is healthy if more than 18 % of its checkers say so; a new checker says so until it has data
  - Disabled counts as healthy; Inverted turns the result round, also that of a disabled or new check
  - a calculated check is healthy if at least HealthThreshold of its children are
  - a record without a check is always healthy; if no record of a set is healthy all of them count as healthy: never an empty answer,
    and of a failover pair that is all unhealthy the primary is answered
"""
import argparse
import http.server
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

HEALTHY_SHARE = 0.18
PROBED = {"HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP"}
SEARCHED = 5120  # bytes of a body


class NotSupported(Exception):
    pass


# ---- what is decided: no clock, no network ----


class Checker:
    """One of the places that probe; it changes its mind after `threshold` answers in a row."""

    def __init__(self):
        self.healthy, self.against = True, 0

    def note(self, good, threshold):
        self.against = 0 if good == self.healthy else self.against + 1
        if self.against >= threshold:
            self.healthy, self.against = good, 0


def enough(votes):
    return sum(votes) > HEALTHY_SHARE * len(votes)


def healthy_checks(configs, votes):
    """@param configs: {id: HealthCheckConfig}, @param votes: {id: [bool of each checker]} @return {id: bool}"""
    known = {}

    def judge(identity):
        if identity in known:
            return known[identity]
        if identity not in configs:
            raise NotSupported(f"health check {identity} is named and not there")
        config = configs[identity]
        kind = config["Type"]
        if config.get("Disabled"):
            healthy = True
        elif kind in PROBED:
            healthy = enough(votes.get(identity) or [True])
        elif kind == "CALCULATED":
            children = config.get("ChildHealthChecks", [])
            healthy = sum(judge(child) for child in children) >= config["HealthThreshold"]
        else:
            raise NotSupported(f"health checks of type {kind}")
        known[identity] = healthy != bool(config.get("Inverted"))
        return known[identity]

    return {identity: judge(identity) for identity in configs}


def choose(records, healthy):
    """Of the records of one name and type, those that are answered. @param healthy: {check id: bool}"""
    for record in records:
        if "AliasTarget" in record:
            raise NotSupported("alias records")
        other = {"Weight", "Region", "GeoLocation", "MultiValueAnswer", "CidrRoutingConfig", "GeoProximityLocation"} & set(record)
        if other:
            raise NotSupported(f"records with {sorted(other)[0]}")
    if not any("Failover" in record for record in records):
        return records  # simple routing has no health
    good = [record for record in records if healthy.get(record.get("HealthCheckId"), "HealthCheckId" not in record)]
    good = good or records
    primary = [record for record in good if record["Failover"] == "PRIMARY"]
    return primary or good


def answers(records, healthy):
    """@return {(name, type): (ttl, [value])} of a zone's records, without SOA and NS, which the DNS server has of its own."""
    sets = {}
    for record in records:
        if record["Type"] not in ("SOA", "NS"):
            sets.setdefault((record["Name"], record["Type"]), []).append(record)
    chosen = {}
    for key, group in sets.items():
        picked = choose(group, healthy)
        chosen[key] = (picked[0]["TTL"], sorted(value["Value"] for record in picked for value in record["ResourceRecords"]))
    return chosen


def updates(zone, before, after):
    """The lines of one DNS update that turns `before` into `after`; atomic, so that no name is ever empty between two answers."""
    lines = []
    for name, kind in sorted(before.keys() - after.keys()):
        lines.append(f"del {name} {kind}")
    for (name, kind), (ttl, values) in sorted(after.items()):
        if before.get((name, kind)) != (ttl, values):
            lines.append(f"del {name} {kind}")
            lines += [f"add {name} {ttl} {kind} {value}" for value in values]
    return [f"zone {zone}", *lines, "send"] if lines else []


# ---- the world ----


def place(config, aws):
    """Where a check's endpoint really is: S3's names are the emulator's buckets."""
    host = config.get("FullyQualifiedDomainName") or config.get("IPAddress")
    path = config.get("ResourcePath") or "/"
    bucket = re.fullmatch(r"([a-z0-9.-]+)\.s3[.-][a-z0-9-]+\.amazonaws\.com", host)
    if bucket:
        return f"{aws}/{bucket[1]}{path}"
    scheme = "https" if config["Type"].startswith("HTTPS") else "http"
    port = config.get("Port") or (443 if scheme == "https" else 80)
    return f"{scheme}://{host}:{port}{path}"


def probe(config, aws, second):
    """Whether the endpoint answers as the check wants. TCP 4 s for the connection (10 s for a TCP check), then 2 s for the answer."""
    if config["Type"] == "TCP":
        try:
            socket.create_connection((config["IPAddress"], config["Port"]), timeout=max(10 * second, 1)).close()
            return True
        except OSError:
            return False
    try:
        with urllib.request.urlopen(place(config, aws), timeout=max(6 * second, 1)) as answer:
            body = answer.read(SEARCHED)
            wanted = config.get("SearchString", "")
            return 200 <= answer.status < 400 and wanted.encode() in body
    except (urllib.error.URLError, OSError, ValueError):
        return False


class Plane:
    def __init__(self, options):
        import boto3
        from botocore.config import Config

        self.options = options
        self.route53 = boto3.client("route53", region_name="us-east-1", endpoint_url=options.aws, aws_access_key_id="plane",
                                    aws_secret_access_key="plane", config=Config(retries={"max_attempts": 1}))
        self.blind, self.checkers, self.due, self.written = {}, {}, {}, {}
        self.state = {"rounds": 0, "checks": {}, "answers": {}, "problem": ""}

    def round(self):
        configs = {check["Id"]: check["HealthCheckConfig"]
                   for page in self.route53.get_paginator("list_health_checks").paginate() for check in page["HealthChecks"]}
        for identity, config in configs.items():
            if config["Type"] in PROBED and time.monotonic() >= self.due.get(identity, 0):
                self.due[identity] = time.monotonic() + config.get("RequestInterval", 30) * self.options.second
                self.ask_checkers(identity, config)
        votes = {identity: [checker.healthy for checker in group] for identity, group in self.checkers.items()}
        healthy = healthy_checks(configs, votes)
        shown = {}
        for zone in self.route53.list_hosted_zones()["HostedZones"]:
            records = [record for page in self.route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone["Id"])
                       for record in page["ResourceRecordSets"]]
            wanted = answers(records, healthy)
            self.write(zone["Name"], wanted)
            shown.update({f"{name} {kind}": values for (name, kind), (_, values) in wanted.items()})
        self.state = {"rounds": self.state["rounds"] + 1, "answers": shown, "problem": "",
                      "checks": {identity: {"healthy": healthy[identity], "checkers": len(votes.get(identity, [])),
                                            "checkers_healthy": sum(votes.get(identity, []))} for identity in configs}}

    def ask_checkers(self, identity, config):
        group = self.checkers.setdefault(identity, [Checker() for _ in range(self.options.checkers)])
        blind = round(self.blind.get(identity, 0) * len(group))
        for at, checker in enumerate(group):
            checker.note(at >= blind and probe(config, self.options.aws, self.options.second), config.get("FailureThreshold", 3))

    def write(self, zone, wanted):
        lines = updates(zone, self.written.get(zone, {}), wanted)
        if not lines:
            return
        address, port = self.options.dns
        said = subprocess.run(["knsupdate", "-y", self.options.key], input="\n".join([f"server {address} {port}", *lines]) + "\n",
                              text=True, capture_output=True, timeout=20)
        if said.returncode != 0 or "error" in (said.stdout + said.stderr).lower():
            raise NotSupported(f"the DNS server refused an update: {said.stdout}{said.stderr}")
        self.written[zone] = wanted

    def run(self):
        while True:
            try:
                self.round()
            except Exception as problem:  # shown to the test, and tried again: the emulator may be gone for a moment
                self.state = {**self.state, "problem": f"{type(problem).__name__}: {problem}"}
                print(self.state["problem"], file=sys.stderr, flush=True)
            time.sleep(self.options.second)


def serve(plane):
    class Control(http.server.BaseHTTPRequestHandler):
        def answer(self, value):
            text = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self):
            self.answer(plane.state)

        def do_PUT(self):
            plane.blind = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer({})

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Control)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aws", required=True)
    parser.add_argument("--dns", nargs=2, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--checkers", type=int, default=16)
    parser.add_argument("--second", type=float, default=0.02)
    plane = Plane(parser.parse_args())
    serve(plane)
    plane.run()


if __name__ == "__main__":
    main()
