#!/usr/bin/env python3
"""A faulty road to an AWS emulator: proxy.py UPSTREAM_URL[,SERVICE=URL…] RECORDING [CERTIFICATE KEY]. With a certificate the road speaks
TLS. Services that are named (s3=http://…) go to another emulator.

It stands where AWS would, records every request that arrives (one JSON object a line in RECORDING), and misbehaves as it is told.
The first line of standard output has two ports: of the road, and of its control. Standard library alone.

Control (JSON over HTTP):
  PUT /faults        a list; of those that match a request, the first that is not used up acts (below)
  PUT /clock         {"shift": seconds}: AWS's clock against ours; what is signed too far from it is refused, as AWS does
  PUT /global_table  {"regions": [...], "stored_in": region}: DynamoDB tables of these regions are one table with multi-region strong
                     consistency, with what AWS refuses there (transactions) refused; null: as the emulator has it
  PUT /reset         nothing is spoiled any more, and nothing has arrived yet; the recording stays
  GET /requests      what arrived: [{n, service, region, operation, fault, forwarded, status}]
  GET /counts        {region: {requests, forwarded, held, holding}}: held is how many were ever left waiting

A fault: {"do": word, and any of "service", "region", "operation", "path" (a regular expression), "access_key", "skip": how many
matches pass first, "times": how many it acts on (default: all)}. Words:
  error         refuses with "status", "code", "message", without passing it on
  throttle      as the service in question throttles
  reset         resets the connection, without passing it on
  lose_answer   passes it on, and resets instead of answering
  silent        keeps the connection and says nothing, without passing it on
  silent_after  passes it on, and says nothing
  truncate      passes it on, and closes in the middle of the answer
  delay         waits "seconds", then passes it on
  header        passes it on, and adds "headers" (a map) to the answer
  answer        answers with "body" (and "status", "type"), without passing it on: what no emulator has

A recording in /dev/null is none: nothing that arrived is kept, and a road of many hours stays small.
"""
import asyncio
import base64
import datetime
import email.utils
import json
import re
import socket
import ssl
import struct
import sys
import time
import urllib.parse

THROTTLE = {
    "dynamodb": (400, "ProvisionedThroughputExceededException", "The level of configured provisioned throughput was exceeded."),
    "s3": (503, "SlowDown", "Please reduce your request rate."),
    "route53": (400, "Throttling", "Rate exceeded"),
    "json": (400, "ThrottlingException", "Rate exceeded"),
    "query": (400, "Throttling", "Rate exceeded"),
    "rest": (429, "TooManyRequestsException", "Rate exceeded"),
}
XML_SERVICES = {"s3", "route53"}
SKEW_ALLOWED = {"s3": 900}  # seconds; the others: 300


class Request:
    def __init__(self, number, method, target, headers, body):
        self.number, self.method, self.target, self.headers, self.body = number, method, target, headers, body
        scope = re.search(r"Credential=([^/,]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request", self.header("authorization"))
        self.access_key, self.region, self.service = (scope[1], scope[3], scope[4]) if scope else ("", "", "")
        self.protocol, self.operation = self.read_operation()
        self.fault, self.forwarded, self.status = None, False, None

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), "")

    def read_operation(self):
        target = self.header("x-amz-target")
        if target:
            return "json", target.rpartition(".")[2]
        path, _, query = self.target.partition("?")
        form = query
        if self.header("content-type").startswith("application/x-www-form-urlencoded"):
            form = self.body.decode("latin-1")
        action = urllib.parse.parse_qs(form).get("Action")
        if action:
            return "query", action[0]
        return "rest", f"{self.method} {path}"

    def record(self):
        entry = {"n": self.number, "at": time.time(), "service": self.service, "region": self.region, "operation": self.operation,
                 "protocol": self.protocol, "method": self.method, "path": self.target, "headers": self.headers}
        try:
            entry["body"] = self.body.decode()
        except UnicodeDecodeError:
            entry["body_base64"] = base64.b64encode(self.body).decode()
        return json.dumps(entry)

    def summary(self):
        return {"n": self.number, "service": self.service, "region": self.region, "operation": self.operation,
                "fault": self.fault, "forwarded": self.forwarded, "status": self.status}


class Gone(Exception):
    """The connection ends here, with no answer or the part of one that is its argument."""


class Road:
    def __init__(self, upstreams, recording):
        first, *others = upstreams.split(",")
        self.upstream = urllib.parse.urlsplit(first)
        self.of_service = {service: urllib.parse.urlsplit(url) for service, _, url in (other.partition("=") for other in others)}
        self.recording = open(recording, "a", buffering=1)
        self.keeps, self.arrived = recording != "/dev/null", 0
        self.faults, self.requests, self.counts = [], [], {}
        self.shift, self.global_table = 0, None
        self.changed = asyncio.Event()  # of the faults

    # ---- what comes in ----

    @staticmethod
    async def read_message(reader):
        """@return the first line, the headers and the body; None at the end of the connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = [[name, value.strip()] for name, _, value in (line.partition(":") for line in lines)]
        named = {name.lower(): value for name, value in headers}
        body = b""
        if named.get("transfer-encoding", "").lower() == "chunked":
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        else:
            body = await reader.readexactly(int(named.get("content-length", 0)))
        return first, headers, body

    async def serve(self, reader, writer):
        try:
            while message := await self.read_message(reader):
                first, headers, body = message
                method, target, _ = first.split(" ", 2)
                self.arrived += 1
                request = Request(self.arrived, method, target, headers, body)
                if request.header("expect").lower() == "100-continue":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                if self.keeps:
                    self.requests.append(request)
                    self.recording.write(request.record() + "\n")
                counts = self.counts.setdefault(request.region, {"requests": 0, "forwarded": 0, "held": 0, "holding": 0})
                counts["requests"] += 1
                answer = await self.answer(request, counts, reader)
                writer.write(answer)
                await writer.drain()
        except Gone as gone:
            if gone.args:
                writer.write(gone.args[0])
                await writer.drain()
            else:
                self.reset(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    @staticmethod
    def reset(writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    # ---- what becomes of it ----

    def choose_fault(self, request):
        for fault in self.faults:
            same = all(fault.get(key, getattr(request, key)) == getattr(request, key)
                       for key in ("service", "region", "operation", "access_key"))
            if not same or not re.search(fault.get("path", ""), request.target):
                continue
            fault["seen"] = fault.get("seen", 0) + 1
            begun = fault["seen"] - fault.get("skip", 0)
            if begun >= 1 and begun <= fault.get("times", begun):
                return fault
        return None

    async def answer(self, request, counts, reader):
        refusal = self.refuse_skewed(request) or self.refuse_transaction(request)
        if refusal:
            return refusal
        fault = self.choose_fault(request)
        word = fault["do"] if fault else None
        request.fault = word
        if word == "error":
            return self.error(request, fault.get("status", 400), fault["code"], fault.get("message", "as the test wishes"))
        if word == "throttle":
            return self.error(request, *THROTTLE.get(request.service, THROTTLE[request.protocol]))
        if word == "answer":
            request.status, payload = fault.get("status", 200), fault["body"].encode()
            return (f"HTTP/1.1 {request.status} OK\r\nContent-Type: {fault.get('type', 'text/xml')}\r\nDate: {self.date()}\r\n"
                    f"x-amzn-RequestId: proxy-{request.number}\r\nContent-Length: {len(payload)}\r\n\r\n").encode() + payload
        if word == "reset":
            raise Gone
        if word == "silent":
            await self.hold(counts, fault, reader)
        if word == "delay":
            await asyncio.sleep(fault["seconds"])
        counts["forwarded"] += 1
        request.forwarded = True
        answer = await self.forward(request)
        if word == "lose_answer":
            raise Gone
        if word == "silent_after":
            await self.hold(counts, fault, reader)
        if word == "header":
            first, _, rest = answer.partition(b"\r\n")
            return first + b"\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fault["headers"].items()).encode("latin-1") + rest
        if word == "truncate":
            head, _, body = answer.partition(b"\r\n\r\n")
            raise Gone(head + b"\r\n\r\n" + body[: len(body) // 2])
        return answer

    async def hold(self, counts, fault, reader):
        """Until the client goes, or the fault is taken away; the request ends without an answer in both cases."""
        counts["held"] += 1
        counts["holding"] += 1
        gone = asyncio.ensure_future(reader.read(1))
        try:
            while fault in self.faults and not gone.done():
                changed = asyncio.ensure_future(self.changed.wait())
                await asyncio.wait({gone, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        finally:
            gone.cancel()
            counts["holding"] -= 1
        raise Gone

    def stored_region(self, request):
        table = self.global_table
        return table["stored_in"] if table and request.service == "dynamodb" and request.region in table["regions"] else None

    async def forward(self, request):
        headers = [[name, value] for name, value in request.headers
                   if name.lower() not in ("connection", "expect", "transfer-encoding", "content-length")]
        stored = self.stored_region(request)
        if stored:
            for header in headers:
                if header[0].lower() == "authorization":
                    header[1] = header[1].replace(f"/{request.region}/dynamodb/", f"/{stored}/dynamodb/")
        headers += [["Content-Length", str(len(request.body))], ["Connection", "close"]]
        try:
            upstream = self.of_service.get(request.service, self.upstream)
            reader, writer = await asyncio.open_connection(upstream.hostname, upstream.port)
        except OSError as problem:
            raise Gone from problem
        try:
            head = f"{request.method} {request.target} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) + "\r\n"
            writer.write(head.encode("latin-1") + request.body)
            raw = await reader.read()
        finally:
            writer.close()
        return self.rewrite(request, raw, stored)

    def rewrite(self, request, raw, stored):
        """The emulator's answer with our clock's Date, a plain length, and what a global table says of itself."""
        head, _, body = raw.partition(b"\r\n\r\n")
        if not head:
            raise Gone
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = [[name, value.strip()] for name, _, value in (line.partition(":") for line in lines)]
        if any(name.lower() == "transfer-encoding" and value.lower() == "chunked" for name, value in headers):
            body = self.unchunk(body)
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        headers = [[name, value] for name, value in headers
                   if name.lower() not in ("date", "connection", "keep-alive", "transfer-encoding", "content-length", "x-amz-crc32")]
        if stored and request.operation == "DescribeTable" and b'"Table"' in body:
            document = json.loads(body)
            document["Table"]["MultiRegionConsistency"] = "STRONG"
            document["Table"]["Replicas"] = [{"RegionName": region, "ReplicaStatus": "ACTIVE"}
                                             for region in self.global_table["regions"]]
            body = json.dumps(document).encode()
        request.status = int(first.split(" ")[1])
        size = length if request.method == "HEAD" and length is not None else str(len(body))
        headers += [["Content-Length", size], ["Date", self.date()]]
        return (first + "\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) + "\r\n").encode("latin-1") + body

    @staticmethod
    def unchunk(body):
        out = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            count = int(size.split(b";")[0], 16)
            if count == 0:
                break
            out, body = out + body[:count], body[count + 2:]
        return out

    # ---- what AWS says ----

    def now(self):
        return time.time() + self.shift

    def date(self):
        return email.utils.formatdate(self.now(), usegmt=True)

    def refuse_skewed(self, request):
        stamp = request.header("x-amz-date")
        if not self.shift or not stamp or not request.service:
            return None
        signed = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        if abs(signed - self.now()) <= SKEW_ALLOWED.get(request.service, 300):
            return None
        request.fault = "clock"
        if request.service == "s3":
            return self.error(request, 403, "RequestTimeTooSkewed",
                              "The difference between the request time and the current time is too large.")
        if request.protocol == "query":
            return self.error(request, 403, "SignatureDoesNotMatch", f"Signature expired: {stamp} is now earlier than the time allowed")
        return self.error(request, 403 if request.service == "route53" else 400, "InvalidSignatureException",
                          f"Signature expired: {stamp} is now earlier than the time allowed")

    def refuse_transaction(self, request):
        if not self.stored_region(request) or request.operation not in ("TransactWriteItems", "TransactGetItems"):
            return None
        request.fault = "global_table"
        return self.error(request, 400, "ValidationException", "Transactions are not supported on tables with strong consistency")

    def error(self, request, status, code, message):
        request.status = status
        if request.protocol == "json":
            kind, body = "application/x-amz-json-1.0", json.dumps({"__type": f"com.amazonaws.{request.service}#{code}",
                                                                 "message": message})
        elif request.protocol == "query" or request.service in XML_SERVICES:
            kind = "text/xml"
            body = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            if request.service == "s3":
                body = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>proxy-{request.number}</RequestId></Error>"
            else:
                body = f"<ErrorResponse>{body}<RequestId>proxy-{request.number}</RequestId></ErrorResponse>"
        else:
            kind, body = "application/json", json.dumps({"message": message})
        headers = (f"HTTP/1.1 {status} {'OK' if status < 300 else 'Refused'}\r\nContent-Type: {kind}\r\nDate: {self.date()}\r\n"
                   f"x-amzn-RequestId: proxy-{request.number}\r\n")
        if kind.startswith("application/json"):
            headers += f"x-amzn-ErrorType: {code}\r\n"
        payload = b"" if request.method == "HEAD" else body.encode()
        return (headers + f"Content-Length: {len(payload)}\r\n\r\n").encode() + payload

    # ---- control ----

    def set_faults(self, faults):
        self.faults = faults
        self.changed.set()
        self.changed = asyncio.Event()

    async def control(self, reader, writer):
        while message := await self.read_message(reader):
            first, _, body = message
            method, target, _ = first.split(" ", 2)
            given = json.loads(body) if body else None
            if (method, target) == ("PUT", "/faults"):
                self.set_faults(given)
                answer = {}
            elif (method, target) == ("PUT", "/reset"):
                self.set_faults([])
                self.shift, self.global_table, self.requests, self.counts, self.arrived = 0, None, [], {}, 0
                answer = {}
            elif (method, target) == ("PUT", "/clock"):
                self.shift, answer = given["shift"], {}
            elif (method, target) == ("PUT", "/global_table"):
                self.global_table, answer = given, {}
            else:
                answer = {"/requests": lambda: [request.summary() for request in self.requests],
                          "/counts": lambda: self.counts}[target]()
            text = json.dumps(answer).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
            await writer.drain()
        writer.close()


async def main():
    road = Road(sys.argv[1], sys.argv[2])
    tls = None
    if len(sys.argv) > 3:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[3], sys.argv[4])
    server = await asyncio.start_server(road.serve, "127.0.0.1", 0, limit=1 << 22, ssl=tls)
    try:  # most hosts' files say that localhost is both
        port = server.sockets[0].getsockname()[1]
        six = await asyncio.start_server(road.serve, "::1", port, limit=1 << 22, ssl=tls)
    except OSError:
        six = None  # a host without it, and nobody who asks there
    control = await asyncio.start_server(road.control, "127.0.0.1", 0, limit=1 << 22)
    print(*(listener.sockets[0].getsockname()[1] for listener in (server, control)), flush=True)
    await asyncio.gather(*(each.serve_forever() for each in (server, control, six) if each))


if __name__ == "__main__":
    asyncio.run(main())
