#!/usr/bin/env python3
"""The data plane of an ARC routing control cluster, as its API reference describes it: five endpoints. No emulator has one.

  routing_control.py CONTROL_ARN...

The first line of standard output has six ports: the endpoints, and the control. The first control is on. Standard library alone.

Control (JSON over HTTP):
  PUT /down   [number of an endpoint, from 0]: these accept no request (the connection is closed without an answer)
  PUT /rules  [{"Name": text, "ATLEAST": n, "AssertedControls": [arn]}]: assertion rules
  GET /state  {"controls": {arn: "On" | "Off"}, "requests": [{"endpoint", "operation", "region", "refused"}]}

The same port also answers what the control plane in us-west-2 tells of the cluster, signed requests alone:
  GET /controlpanel/{arn}  its cluster: "arn:cluster"
  GET /cluster/{arn}       its endpoints
"""
import http.server
import json
import re
import sys
import threading
import urllib.parse

LOCK = threading.Lock()
STATE = {"controls": {}, "down": [], "rules": [], "requests": [], "ports": []}
TARGET = "ToggleCustomerAPI."


class Refusal(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code = status, code


def wanted(entry):
    arn, state = entry.get("RoutingControlArn"), entry.get("RoutingControlState")
    if state not in ("On", "Off"):
        raise Refusal(400, "ValidationException", f"state '{state}' is neither On nor Off")
    if arn not in STATE["controls"]:
        raise Refusal(404, "ResourceNotFoundException", f"no routing control '{arn}'")
    return arn, state


def update(body):
    """All entries or none."""
    entries = body.get("UpdateRoutingControlStateEntries", [])
    if not 1 <= len(entries) <= 10:
        raise Refusal(400, "ValidationException", "1 to 10 entries")
    after = {**STATE["controls"], **dict(wanted(entry) for entry in entries)}
    for rule in STATE["rules"]:
        if sum(after[arn] == "On" for arn in rule["AssertedControls"]) < rule["ATLEAST"]:
            raise Refusal(409, "ConflictException", f"The safety rule {rule['Name']} (ATLEAST {rule['ATLEAST']}) would not be met")
    STATE["controls"] = after
    return {}


def get(body):
    arn = body.get("RoutingControlArn")
    if arn not in STATE["controls"]:
        raise Refusal(404, "ResourceNotFoundException", f"no routing control '{arn}'")
    return {"RoutingControlArn": arn, "RoutingControlState": STATE["controls"][arn]}


OPERATIONS = {"UpdateRoutingControlStates": update, "GetRoutingControlState": get}


class Base(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")

    def answer(self, status, value, headers=()):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        for name, content in headers:
            self.send_header(name, content)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def endpoint(number):
    class Endpoint(Base):
        def do_POST(self):
            operation = self.headers.get("X-Amz-Target", "").removeprefix(TARGET)
            scope = re.search(r"Credential=[^/]+/\d{8}/([^/]+)/route53-recovery-cluster/", self.headers.get("Authorization", ""))
            body = self.body()
            with LOCK:
                seen = {"endpoint": number, "operation": operation, "region": scope[1] if scope else "", "refused": ""}
                STATE["requests"].append(seen)
                if number in STATE["down"]:
                    self.close_connection = True
                    return
                try:
                    if not scope or operation not in OPERATIONS:
                        raise Refusal(403, "AccessDeniedException", "not signed for this service, or no such operation")
                    value = OPERATIONS[operation](body)
                except Refusal as refusal:
                    seen["refused"] = str(refusal)
                    self.answer(refusal.status, {"message": str(refusal)}, [("x-amzn-ErrorType", refusal.code)])
                    return
            self.answer(200, value)

    return Endpoint


REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2")
CLUSTER = "arn:cluster"


def describe(path):
    """What the control plane tells; None: it knows no such thing."""
    folder, _, arn = path.strip("/").partition("/")
    arn = urllib.parse.unquote(arn)
    if folder == "controlpanel" and any(control.startswith(arn + "/routingcontrol/") for control in STATE["controls"]):
        return {"ControlPanel": {"ControlPanelArn": arn, "ClusterArn": CLUSTER, "Status": "DEPLOYED"}}
    if folder == "cluster" and arn == CLUSTER:
        urls = [f"http://127.0.0.1:{port}" for port in STATE["ports"]]
        return {"Cluster": {"ClusterArn": arn, "Status": "DEPLOYED",
                            "ClusterEndpoints": [{"Region": region, "Endpoint": url} for region, url in zip(REGIONS, urls)]}}
    return None


class Control(Base):
    def do_GET(self):
        with LOCK:
            if self.path == "/state":
                self.answer(200, {"controls": STATE["controls"], "requests": STATE["requests"]})
                return
            signed = re.search(r"Credential=[^/]+/\d{8}/us-west-2/route53-recovery-control-config/", self.headers.get("Authorization", ""))
            told = describe(self.path) if signed else None
            if told is None:
                self.answer(404, {"Message": "no such thing"}, [("x-amzn-ErrorType", "ResourceNotFoundException")])
            else:
                self.answer(200, told)

    def do_PUT(self):
        value = self.body()
        with LOCK:
            STATE[self.path.strip("/")] = value
        self.answer(200, {})


def main():
    STATE["controls"] = {arn: "Off" if at else "On" for at, arn in enumerate(sys.argv[1:])}
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in [*map(endpoint, range(5)), Control]]
    STATE["ports"] = [server.server_port for server in servers[:5]]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(*[server.server_port for server in servers], flush=True)
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
